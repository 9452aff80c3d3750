/** Every bench against its peer; see README.md. */
import { writeFileSync } from 'node:fs'

import { json, table } from './lib/report.ts'
import { TOLERATED } from './lib/quiet.ts'
import { type Options, parseOptions, USAGE } from './lib/options.ts'
import { type Outcome, runBench } from './lib/runner.ts'

import { rustEcho } from './rust-echo.ts'
import { sendNotify } from './send-notify.ts'
import { tcpEcho } from './tcp-echo.ts'
import { tcpEchoFew } from './tcp-echo-few.ts'
import { tcpPingPong } from './tcp-ping-pong.ts'
import { timersLateness } from './timers-lateness.ts'
import { timersSetClear } from './timers-set-clear.ts'
import { workerMessages } from './worker-messages.ts'

const BENCHES = [
  sendNotify,
  workerMessages,
  timersSetClear,
  timersLateness,
  tcpEcho,
  tcpEchoFew,
  tcpPingPong,
  rustEcho,
]

let options: Options
try {
  options = parseOptions(process.argv.slice(2))
} catch (error) {
  console.error(`${(error as Error).message}\n${USAGE}`)
  process.exit(2)
}

const { only } = options
const benches = BENCHES.filter(
  ({ name }) => only.length === 0 || only.some((part) => name.includes(part)),
)
if (benches.length === 0 || options.list) {
  console.log(BENCHES.map(({ name }) => name).join('\n'))
  process.exit(options.list ? 0 : 2)
}

const outcome: Outcome = { rows: [], samples: [], failures: [] }
for (const bench of benches) {
  await runBench(bench, options.rounds, { short: options.short }, outcome)
}
console.log(table(outcome.rows))
const taken = outcome.samples.flatMap(({ rounds }) => rounds)
const disturbed = taken.filter((sample) => (sample?.foreign ?? 0) > TOLERATED).length
if (disturbed > 0) {
  console.log(
    `\n${disturbed} of ${taken.length} measurements were disturbed: other programs used more than ` +
      `${TOLERATED * 100} % of the processors.`,
  )
}
if (options.json !== null) writeFileSync(options.json, json(options, outcome))
if (outcome.failures.length > 0) {
  console.log(`\nFailed:\n${outcome.failures.map((failure) => `- ${failure}`).join('\n')}`)
  // Wrong bytes or a dead server is a fault; being slow is not.
  process.exitCode = 1
}
