import { atLeast, atMost, type Bench } from './lib/bench.ts'
import { echoContest } from './lib/echo.ts'

const targets = {
  embedded: { rate: atLeast(1.5), cpu: atMost(0.7) },
  thread: { rate: atLeast(1.2) },
}

/** Echo by `ready`, edge-triggered, against node:net. */
export const tcpEcho: Bench = {
  name: 'tcp-echo',
  contests: [echoContest(64, targets), echoContest(1000, targets)],
}
