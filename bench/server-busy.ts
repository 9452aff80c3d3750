import { atLeast, atMost, type Bench, type Side } from './lib/bench.ts'
import { named, type Traffic } from './lib/load.ts'
import { messages, nodeNetSide, p99, tcpServerSide } from './lib/servers.ts'
import { work } from './servers/work.ts'

/** What the handler computes for each message, on a processor of its own. */
const BUSY_US = 50
const TRAFFIC: Traffic = { connections: 64 }

let counted: number | undefined

/**
 * How many steps of `work` take so long. Counted once, so that every server does the same; the fastest of several
 * trials, those where others were in the way aside.
 */
function steps(): string {
  if (counted === undefined) {
    const trial = 1_000_000
    let fastest = Infinity
    for (let trials = 0; trials < 20; trials += 1) {
      const start = performance.now()
      work(trial)
      fastest = Math.min(fastest, performance.now() - start)
    }
    counted = Math.round((trial * BUSY_US) / (fastest * 1000))
  }
  return String(counted)
}

/** A side that is told the steps when it is measured: counting them takes a while. */
const busy = (name: string, side: (...args: string[]) => Side): Side => ({
  name,
  measure: (scale) => side('--work', steps()).measure(scale),
})

/** Echo with a handler that has something to do. */
export const serverBusy: Bench = {
  name: 'server-busy',
  contests: [
    {
      name: `${named(TRAFFIC)}, ${BUSY_US} µs each`,
      sides: [
        busy('net', (...args) => nodeNetSide(TRAFFIC, ...args)),
        busy('auto', (...args) => tcpServerSide('auto', TRAFFIC, ...args)),
      ],
      figures: [messages('auto', 'net', atLeast(1)), p99('auto', 'net', atMost(1))],
    },
  ],
}
