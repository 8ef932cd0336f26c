import { runtimeSuite } from '#core/suites/runtime.ts';
import { makeHouse } from './test-house.ts';

runtimeSuite('ShimRuntime with runc', () => makeHouse('io.containerd.runc.v2'));
runtimeSuite('ShimRuntime with crun', () => makeHouse('io.containerd.crun.v2'));
