import { isIP } from 'node:net';
import { invalid } from '#base/errors.ts';
import type { PortMapping } from '#core/network.ts';
import type { ContainerConfig } from './config.ts';
import { flagOf, objectOf, objectsOf, textOf, type Json } from './fields.ts';

const protocols = ['tcp', 'udp', 'sctp'] as const;

/** `80/tcp` of ExposedPorts and PortBindings. */
export function parsePort(text: string): { port: number; protocol: PortMapping['protocol'] } {
  const matched = /^(\d{1,5})(?:\/(\w+))?$/.exec(text);
  const port = Number(matched?.[1] ?? 0);
  const protocol = protocols.find((known) => known === (matched?.[2] ?? 'tcp').toLowerCase());
  if (port < 1 || port > 65_535) throw invalid(`invalid port specification: "${text}"`);
  if (protocol === undefined) throw invalid(`invalid protocol for port "${text}": use tcp, udp or sctp`);
  return { port, protocol };
}

/** What a container wants to publish: `-p`, and with `-P` all it exposes. */
export function wantedPorts(hostConfig: Json, config: Pick<ContainerConfig, 'ExposedPorts'>): PortMapping[] {
  const bindings = objectOf(hostConfig, 'PortBindings');
  const ports: PortMapping[] = [];
  for (const key of Object.keys(bindings)) {
    const { port, protocol } = parsePort(key);
    for (const binding of objectsOf(bindings, key)) {
      const text = textOf(binding, 'HostPort');
      const hostPort = text === '' ? 0 : Number(/^\d{1,5}$/.exec(text)?.[0] ?? Number.NaN);
      if (Number.isNaN(hostPort) || hostPort > 65_535)
        throw invalid(`invalid host port "${text}" for container port ${key}: use one number`);
      const hostIp = textOf(binding, 'HostIp');
      if (hostIp !== '' && isIP(hostIp) === 0) throw invalid(`invalid host IP "${hostIp}" for container port ${key}`);
      ports.push({ hostIp, hostPort, containerPort: port, protocol });
    }
    if (objectsOf(bindings, key).length === 0) ports.push({ hostIp: '', hostPort: 0, containerPort: port, protocol });
  }
  if (flagOf(hostConfig, 'PublishAllPorts')) {
    for (const key of Object.keys(config.ExposedPorts)) {
      const { port, protocol } = parsePort(key);
      if (ports.some((one) => one.containerPort === port && one.protocol === protocol)) continue;
      ports.push({ hostIp: '', hostPort: 0, containerPort: port, protocol });
    }
  }
  return ports;
}

export function checkPorts(hostConfig: Json, config: ContainerConfig): void {
  wantedPorts(hostConfig, config);
  for (const key of Object.keys(config.ExposedPorts)) parsePort(key);
}
