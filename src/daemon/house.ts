import { unimplemented } from '#base/errors.ts';
import type { House, HouseOptions } from './serve.ts';

/** Builds everything from top to bottom: ledger, drivers, services, doors. */
export function buildHouse(_options: HouseOptions): Promise<House> {
  throw unimplemented('the house');
}
