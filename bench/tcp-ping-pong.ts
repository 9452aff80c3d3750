import { atMost, type Bench } from './lib/bench.ts'
import { program } from './lib/child.ts'
import { echoSide } from './lib/echo.ts'

/** How long the loop looks again before it sleeps: longer than an answer takes to come. */
const SPIN_US = 200

/** The client spins for each answer, so that the time it would take to wake up is in no latency. */
const spinning = (name: string, server: string, ...args: string[]) =>
  echoSide(name, 1, () => program(`servers/${server}`, ...args), '--spin')

/** One message at a time, to a thread that belongs to the loop. */
export const tcpPingPong: Bench = {
  name: 'tcp-ping-pong',
  contests: [
    {
      name: '1 × 64 B',
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
      ],
    },
  ],
}
