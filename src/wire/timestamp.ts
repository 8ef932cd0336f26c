import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { Moment } from '#base/moment.ts';

/** To the microsecond; 1970 where there is none. */
export const momentOf = (timestamp: Timestamp | undefined): Moment =>
  new Moment(timestamp === undefined ? 0 : Number(timestamp.seconds) * 1e6 + Math.floor(timestamp.nanos / 1000));
