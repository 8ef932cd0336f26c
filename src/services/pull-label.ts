/** Marks the leases of pulls, and says of which image: so a repeated pull finds what an earlier one has left. */
export const pullLabel = 'hakobune.io/pull';
