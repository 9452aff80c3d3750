/** Every bench against its peer; see README.md. */
import { readFileSync, writeFileSync } from 'node:fs'

import { json, type Report, reportOf, table } from './lib/report.ts'
import { TOLERATED } from './lib/quiet.ts'
import { type Options, parseOptions, USAGE } from './lib/options.ts'
import { type Outcome, runBench } from './lib/runner.ts'

import { rustEcho } from './rust-echo.ts'
import { sendNotify } from './send-notify.ts'
import { serverBulk } from './server-bulk.ts'
import { serverBusy } from './server-busy.ts'
import { serverConnect } from './server-connect.ts'
import { serverEcho } from './server-echo.ts'
import { serverEchoFew } from './server-echo-few.ts'
import { serverIdle } from './server-idle.ts'
import { serverRedis } from './server-redis.ts'
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
  serverEcho,
  serverEchoFew,
  serverBusy,
  serverBulk,
  serverConnect,
  serverIdle,
  serverRedis,
]

let options: Options
try {
  options = parseOptions(process.argv.slice(2))
} catch (error) {
  console.error(`${(error as Error).message}\n${USAGE}`)
  process.exit(2)
}

const { only } = options
const isWanted = (bench: string): boolean =>
  only.length === 0 || only.some((part) => bench.includes(part))
const benches = BENCHES.filter(({ name }) => isWanted(name))
if (benches.length === 0 || options.list) {
  console.log(BENCHES.map(({ name }) => name).join('\n'))
  process.exit(options.list ? 0 : 2)
}

// Before anything is measured: what is missing for a chart is not to be found out at the end.
const draw = options.svg === null ? null : (await import('./lib/draw.ts')).draw

const report = options.from === null ? await measured() : earlier(options.from)
console.log(table(report.rows))
const taken = report.samples.flatMap(({ rounds }) => rounds)
const disturbed = taken.filter((sample) => (sample?.foreign ?? 0) > TOLERATED).length
if (disturbed > 0) {
  console.log(
    `\n${disturbed} of ${taken.length} measurements were disturbed: other programs used more than ` +
      `${TOLERATED * 100} % of the processors.`,
  )
}
if (options.json !== null) writeFileSync(options.json, json(report))
if (draw !== null) writeFileSync(options.svg!, await draw(report))
if (report.leftOut.length > 0) console.log(`\nLeft out:\n${list(report.leftOut)}`)
if (report.failures.length > 0) {
  console.log(`\nFailed:\n${list(report.failures)}`)
  // Wrong bytes or a dead server is a fault; being slow is not.
  process.exitCode = 1
}

async function measured(): Promise<Report> {
  const outcome: Outcome = { rows: [], samples: [], failures: [], leftOut: [] }
  for (const bench of benches) {
    await runBench(bench, options.rounds, { short: options.short }, outcome)
  }
  return reportOf(options, outcome)
}

function earlier(file: string): Report {
  const report = JSON.parse(readFileSync(file, 'utf8')) as Report
  return {
    ...report,
    rows: report.rows.filter(({ bench }) => isWanted(bench)),
    samples: report.samples.filter(({ bench }) => isWanted(bench)),
    // Runs before this could be said have none.
    leftOut: report.leftOut ?? [],
  }
}

function list(lines: string[]): string {
  return lines.map((line) => `- ${line}`).join('\n')
}
