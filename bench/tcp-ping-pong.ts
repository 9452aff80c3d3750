import { atMost, type Bench } from './lib/bench.ts'
import { mioloSide, netSide } from './lib/echo.ts'

/** How long the loop looks again before it sleeps: longer than an answer takes to come. */
const SPIN_US = 200

/** One message at a time, to a thread that belongs to the loop. */
export const tcpPingPong: Bench = {
  name: 'tcp-ping-pong',
  contests: [
    {
      name: '1 × 64 B',
      sides: [netSide(1), mioloSide('runSync', 1, '--run-sync', '--spin-us', String(SPIN_US))],
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
