import { messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { sendDatagram } from '#sys/datagram.ts';

/** Tells systemd how the daemon stands (sd_notify(3)). Does nothing where systemd did not start it. */
export interface Notify {
  ready(): void;
  status(text: string): void;
  stopping(): void;
}

/** Reads NOTIFY_SOCKET and takes it out of the environment, so that no child speaks in the daemon's name. */
export function notifySystemd(environment: NodeJS.ProcessEnv, logger: Logger): Notify {
  const address = environment['NOTIFY_SOCKET'];
  delete environment['NOTIFY_SOCKET'];
  const send = (lines: string): void => {
    if (address === undefined || address === '') return;
    try {
      sendDatagram(address, lines);
    } catch (error) {
      logger.log('warn', 'systemd could not be told', { error: messageOf(error) });
    }
  };
  return {
    ready: () => send('READY=1\nSTATUS=serving'),
    status: (text) => send(`STATUS=${text.replaceAll('\n', ' ')}`),
    stopping: () => send('STOPPING=1\nSTATUS=stopping'),
  };
}
