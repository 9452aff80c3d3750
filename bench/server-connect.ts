import { atLeast, type Bench, type Figure } from './lib/bench.ts'
import type { Traffic } from './lib/load.ts'
import { nodeNetSide, tcpServerSide } from './lib/servers.ts'

const TRAFFIC: Traffic = { mode: 'exchange', connections: 64 }

const figure = (rest: Pick<Figure, 'title' | 'metric' | 'unit' | 'target'>): Figure => ({
  side: 'auto',
  peer: 'net',
  ...rest,
})

/** Connect, send a message, have it back, end; counted when the server has ended, too. */
export const serverConnect: Bench = {
  name: 'server-connect',
  contests: [
    {
      name: `${TRAFFIC.connections} at a time`,
      sides: [nodeNetSide(TRAFFIC), tcpServerSide('auto', TRAFFIC)],
      figures: [
        figure({
          title: 'connections',
          metric: 'messagesPerSecond',
          unit: '/s',
          target: atLeast(1.5),
        }),
        figure({ title: 'CPU a connection', metric: 'cpuPerMessage', unit: 'µs' }),
        figure({ title: 'from beginning to end, p50', metric: 'p50', unit: 'µs' }),
      ],
    },
  ],
}
