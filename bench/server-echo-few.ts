import { atLeast, atMost, type Bench } from './lib/bench.ts'
import { named, type Traffic } from './lib/load.ts'
import { cpu, messages, nodeNetSide, p50, tcpServerSide } from './lib/servers.ts'

/** How long the loop looks again before it sleeps: longer than an answer takes to come. */
const SPIN_US = 200

const EIGHT: Traffic = { connections: 8 }
const ONE: Traffic = { connections: 1, spin: true }

/** The same with few connections. */
export const serverEchoFew: Bench = {
  name: 'server-echo-few',
  contests: [
    {
      name: named(EIGHT),
      sides: [nodeNetSide(EIGHT), tcpServerSide('auto', EIGHT)],
      figures: [messages('auto', 'net', atLeast(1.1)), cpu('auto', 'net', atMost(0.8))],
    },
    {
      name: named(ONE),
      sides: [
        nodeNetSide(ONE),
        tcpServerSide('auto', ONE),
        tcpServerSide('spin', ONE, '--spin-us', String(SPIN_US)),
      ],
      figures: [p50('auto', 'net', atMost(1)), p50('spin', 'net', atMost(0.4))],
    },
  ],
}
