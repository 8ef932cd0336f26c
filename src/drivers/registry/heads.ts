import type http from 'node:http';

/** How requests and answers look on the wire, for people who want to see them. */

/** What must not be seen: logins, and cookies that stand for them. */
const secret = /^(?:authorization|proxy-authorization|cookie|set-cookie)$/i;
/** Addresses of storage behind a registry carry signatures, which are logins too. */
const secretQuery = /([?&][^=&]*(?:sig|token|key|credential|secret|_state)[^=&]*=)[^&]*/gi;

const line = (name: string, value: string): string => `${name}: ${secret.test(name) ? '<hidden>' : hide(value)}\r\n`;
const hide = (text: string): string => text.replaceAll(secretQuery, '$1<hidden>');

export function requestHead(request: http.ClientRequest): string {
  const lines = request.getRawHeaderNames().map((name) => line(name, String(request.getHeader(name))));
  return `${request.method} ${hide(request.path)} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

export function responseHead(response: http.IncomingMessage): string {
  const { httpVersion, statusCode = 0, statusMessage = '', rawHeaders } = response;
  const lines: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) lines.push(line(rawHeaders[at]!, rawHeaders[at + 1]!));
  return `HTTP/${httpVersion} ${statusCode} ${statusMessage}\r\n${lines.join('')}\r\n`;
}
