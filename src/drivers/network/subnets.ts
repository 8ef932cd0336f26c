import { readFileSync } from 'node:fs';
import { HakoError, invalid } from '#base/errors.ts';

/** An IPv4 network. */
export interface Subnet {
  /** Its first address as a number. */
  readonly base: number;
  readonly bits: number;
}

const mask = (bits: number): number => (bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0);

/** Reads `10.88.0.0/16`; bits below the mask count as zero. */
export function parseSubnet(text: string): Subnet {
  const matched = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text);
  const parts = matched?.slice(1, 5).map(Number) ?? [];
  const bits = Number(matched?.[5] ?? 33);
  if (parts.length !== 4 || parts.some((part) => part > 255) || bits > 32)
    throw invalid(`subnet "${text}": want an IPv4 network such as 10.88.0.0/16`);
  const address = parts.reduce((sum, part) => sum * 256 + part, 0);
  return { base: (address & mask(bits)) >>> 0, bits };
}

const formatAddress = (address: number): string => [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
export const formatSubnet = ({ base, bits }: Subnet): string => `${formatAddress(base)}/${bits}`;
/** Its first host, which the bridge takes. */
export const gatewayOf = ({ base }: Subnet): string => formatAddress(base + 1);

/** Whether the two share an address. */
export function overlaps(one: Subnet, other: Subnet): boolean {
  const wider = mask(Math.min(one.bits, other.bits));
  return ((one.base ^ other.base) & wider) === 0;
}

/** The networks the host reaches by other ways than `but` (/proc/net/route); the default route reaches everything, and is left out. */
export function hostSubnets(but: string, table = readFileSync('/proc/net/route', 'latin1')): Subnet[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [device = '', destination = '', , , , , , netmask = ''] = line.trim().split(/\s+/);
      if (device === '' || device === but || !/^[0-9A-F]{8}$/i.test(destination) || !/^[0-9A-F]{8}$/i.test(netmask))
        return [];
      // Both are in network order, read as a little-endian number.
      const swap = (hex: string): number => Buffer.from(hex, 'hex').readUInt32LE();
      const bits = (swap(netmask).toString(2).match(/1/g) ?? []).length;
      return bits === 0 ? [] : [{ base: (swap(destination) & mask(bits)) >>> 0, bits }];
    });
}

/** Private networks that are rarely anyone's, in the order we try them. */
const candidates = [
  ...Array.from({ length: 12 }, (_, step) => `10.${88 + step}.0.0/16`),
  ...Array.from({ length: 8 }, (_, step) => `172.${24 + step}.0.0/16`),
  ...Array.from({ length: 16 }, (_, step) => `192.168.${224 + step}.0/24`),
];

/** The first of our candidates that the host does not use. */
export function chooseSubnet(used: readonly Subnet[]): Subnet {
  const free = candidates.map(parseSubnet).find((subnet) => !used.some((other) => overlaps(subnet, other)));
  if (free === undefined) {
    throw new HakoError(
      'failed-precondition',
      'no private subnet is free on this host: set "subnet" of the network plugin in the configuration',
    );
  }
  return free;
}
