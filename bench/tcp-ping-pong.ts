import { atMost, type Bench } from './lib/bench.ts'
import { program } from './lib/child.ts'
import { loadSide, named, type Traffic } from './lib/load.ts'

/** How long the loop looks again before it sleeps: longer than an answer takes to come. */
const SPIN_US = 200

const TRAFFIC: Traffic = { connections: 1, spin: true }

const spinning = (name: string, server: string, ...args: string[]) =>
  loadSide(name, TRAFFIC, () => program(`servers/${server}`, ...args))

/** One message at a time, to a thread that belongs to the loop. */
export const tcpPingPong: Bench = {
  name: 'tcp-ping-pong',
  contests: [
    {
      name: named(TRAFFIC),
      sides: [
        spinning('net', 'node-net-echo'),
        spinning('runSync', 'miolo-echo', '--run-sync', '--spin-us', String(SPIN_US)),
      ],
      figures: [
        {
          title: 'round trip p50',
          metric: 'p50',
          unit: 'µs',
          side: 'runSync',
          peer: 'net',
          target: atMost(0.5),
        },
        {
          title: 'CPU a message',
          metric: 'cpuPerMessage',
          unit: 'µs',
          side: 'runSync',
          peer: 'net',
        },
      ],
    },
  ],
}
