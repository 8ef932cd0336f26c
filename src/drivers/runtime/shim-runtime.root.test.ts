import { runtimeSuite } from '#core/suites/runtime.ts';
import { makeHouse } from './test-house.ts';

runtimeSuite('ShimRuntime with runc', makeHouse);
