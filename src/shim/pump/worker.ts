import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads';
import { messageOf } from '#base/errors.ts';
import { EPOLLIN } from '#sys/epoll.ts';
import { closeFd } from '#sys/fd.ts';
import type { FromPump, ToPump } from './messages.ts';
import { ProcessPump } from './process-pump.ts';
import { Reactor } from './reactor.ts';

/** A client that has gone quiet is owed the rest of a removed process's output for this long, in milliseconds. */
const lingering = 10_000;

const port = parentPort!;
const inbox = (workerData as { inbox: MessagePort }).inbox;
const post = (message: FromPump): void => port.postMessage(message);
const processes = new Map<string, ProcessPump>();
let leaving = 0;

const reactor = new Reactor(
  (message) => post({ type: 'warning', message }),
  () => {
    for (let message = receiveMessageOnPort(inbox); message !== undefined; message = receiveMessageOnPort(inbox)) {
      try {
        take(message.message as ToPump);
      } catch (error) {
        post({ type: 'warning', message: `pump: ${messageOf(error)}` });
      }
    }
  },
);

function take(message: ToPump): void {
  switch (message.type) {
    case 'add':
      processes.get(message.plan.key)?.close();
      processes.set(message.plan.key, new ProcessPump(reactor, message.plan, post));
      return;
    case 'input': {
      const pump = processes.get(message.key);
      if (pump !== undefined) return pump.openInput(message.input);
      closeFd(message.input.from);
      closeFd(message.input.to);
      return;
    }
    case 'close-input': {
      const done = (): void => post({ type: 'done', ticket: message.ticket });
      const pump = processes.get(message.key);
      return pump === undefined ? done() : pump.closeInput(done);
    }
    case 'drain': {
      const done = (): void => post({ type: 'done', ticket: message.ticket });
      const pump = processes.get(message.key);
      return pump === undefined ? done() : pump.drain(message.grace, done);
    }
    case 'remove':
      return remove(message.key);
    case 'watch':
      reactor.add(message.pidfd, EPOLLIN, () => {
        reactor.remove(message.pidfd);
        post({ type: 'done', ticket: message.ticket });
      });
      return;
    case 'stop':
      for (const pump of processes.values()) pump.close();
      reactor.stop();
  }
}

function remove(key: string): void {
  const pump = processes.get(key);
  if (pump === undefined) return;
  processes.delete(key);
  post({ type: 'busy', count: ++leaving });
  pump.leave(lingering, () => post({ type: 'busy', count: --leaving }));
}

post({ type: 'done', ticket: reactor.wakeFd });
reactor.run();
closeFd(reactor.wakeFd);
