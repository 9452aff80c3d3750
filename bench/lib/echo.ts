import type { Contest, Side, Target } from './bench.ts'
import { program } from './child.ts'
import { loadSide, named } from './load.ts'

/** Echo with node:net, and with miolo with arguments of servers/miolo-echo.ts. */
export function netSide(connections: number): Side {
  return loadSide('net', { connections }, () => program('servers/node-net-echo'))
}

export function mioloSide(name: string, connections: number, ...args: string[]): Side {
  return loadSide(name, { connections }, () => program('servers/miolo-echo', ...args))
}

/** Both drivers against node:net. */
export function echoContest(
  connections: number,
  targets: Record<'embedded' | 'thread', { rate?: Target; cpu?: Target }>,
): Contest {
  return {
    name: named({ connections }),
    sides: [
      netSide(connections),
      mioloSide('embedded', connections, '--driver', 'embedded'),
      mioloSide('thread', connections, '--driver', 'thread'),
    ],
    figures: (['embedded', 'thread'] as const).flatMap((side) => [
      {
        title: 'messages',
        metric: 'messagesPerSecond',
        unit: '/s',
        side,
        peer: 'net',
        target: targets[side].rate,
      },
      {
        title: 'CPU a message',
        metric: 'cpuPerMessage',
        unit: 'µs',
        side,
        peer: 'net',
        target: targets[side].cpu,
      },
    ]),
  }
}
