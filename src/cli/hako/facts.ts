import { familiar } from '#base/reference.ts';
import { humanDuration } from '#base/units.ts';
import type { PortSummary } from '#client/types.ts';

/** The first twelve digits of an id, its algorithm left out. */
export const shortId = (id: string): string => id.slice(id.indexOf(':') + 1).slice(0, 12);

export const since = (seconds: number): string => `${humanDuration(Date.now() - seconds * 1000)} ago`;

/** A time as Go prints it: `2026-11-21 06:06:30 +0000 UTC`. */
export function goTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  const minutes = -date.getTimezoneOffset();
  const two = (value: number): string => String(Math.trunc(Math.abs(value))).padStart(2, '0');
  const local = new Date(date.getTime() + minutes * 60_000).toISOString();
  const offset = `${minutes < 0 ? '-' : '+'}${two(minutes / 60)}${two(minutes % 60)}`;
  const zone = new Intl.DateTimeFormat('en', { timeZoneName: 'short' })
    .formatToParts(date)
    .find(({ type }) => type === 'timeZoneName');
  return `${local.slice(0, 10)} ${local.slice(11, 19)} ${offset} ${zone?.value ?? ''}`.trimEnd();
}

/** A string in double quotes, as Go quotes it. */
export const quote = (text: string): string => JSON.stringify(text);

/** The image of a container as people know it: a digest behind a name says little in a table. */
export function imageName(image: string, imageId: string): string {
  if (image === '') return '<no image>';
  if (shortId(image) === shortId(imageId)) return shortId(image);
  try {
    return familiar(image.replace(/@[^@]+$/, ''));
  } catch {
    return image;
  }
}

/** `0.0.0.0:8080->80/tcp, 443/tcp`, neighbouring ports together. */
export function printPorts(ports: readonly PortSummary[]): string {
  const sorted = [...ports].sort(
    (a, b) =>
      a.PrivatePort - b.PrivatePort ||
      (a.IP ?? '').localeCompare(b.IP ?? '') ||
      (a.PublicPort ?? 0) - (b.PublicPort ?? 0) ||
      a.Type.localeCompare(b.Type),
  );
  const groups = new Map<string, { ip: string; type: string; first: number; last: number }[]>();
  const single: string[] = [];
  for (const { IP: ip = '', PrivatePort: port, PublicPort: open, Type: type } of sorted) {
    if (ip !== '' && open !== port) {
      single.push(`${hostPort(ip, String(open))}->${port}/${type}`);
      continue;
    }
    const key = `${ip}/${type}`;
    const group = groups.get(key) ?? [];
    const last = group.at(-1);
    if (last !== undefined && port <= last.last + 1) last.last = port;
    else group.push({ ip, type, first: port, last: port });
    groups.set(key, group);
  }
  const ranges = [...groups.values()].flat().map(({ ip, type, first, last }) => {
    const span = first === last ? String(first) : `${first}-${last}`;
    return ip === '' ? `${span}/${type}` : `${hostPort(ip, span)}->${span}/${type}`;
  });
  return [...ranges, ...single].join(', ');
}

export const hostPort = (ip: string, port: string): string => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`);
