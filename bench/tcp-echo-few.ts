import { atLeast, atMost, type Bench } from './lib/bench.ts'
import { echoContest } from './lib/echo.ts'

const targets = { embedded: { rate: atLeast(1), cpu: atMost(1) }, thread: {} }

/** The same with few connections, where there are no batches to gain by. */
export const tcpEchoFew: Bench = {
  name: 'tcp-echo-few',
  contests: [echoContest(1, targets), echoContest(8, targets)],
}
