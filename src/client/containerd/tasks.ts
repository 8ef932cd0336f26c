import { Tasks } from '#proto/gen/containerd/services/tasks/v1/tasks_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export type { CreateTaskRequest, ExecProcessRequest } from '#proto/gen/containerd/services/tasks/v1/tasks_pb.ts';

export const tasks = (door: Containerd): Client<typeof Tasks> => door.service(Tasks);
