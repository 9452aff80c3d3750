/**
 * Garbage in what connections share with their native side: it is noticed, or does no harm; it never crashes, hangs, or
 * reads beyond the memory. What is overwritten, and how, stands in fixtures/garbage-connections.ts.
 */

import type { ExecutionContext } from 'ava'

import { eachDriver } from './support/drivers.ts'
import { type Outcome, runFixture } from './support/process.ts'

async function isUnharmed(t: ExecutionContext, ...args: string[]): Promise<Outcome> {
  // Before the test's own deadline, so that what was done last is told.
  const outcome = await runFixture('garbage-connections.ts', { args, deadlineMs: 50_000 })
  const { code, signal, stdout, stderr } = outcome
  t.like({ code, signal }, { code: 0, signal: null }, stderr.slice(-3000))
  t.regex(stdout, /unharmed\n$/)
  return outcome
}

eachDriver('each record and count that matters, one by one', async (t, { driver }) => {
  await isUnharmed(t, driver, 'case')
})

eachDriver('any words and records, at any moment', async (t, { driver }) => {
  const { stdout } = await isUnharmed(t, driver, 'random', '80')
  const failed = Number(/failed (\d+)/.exec(stdout)?.[1])
  t.true(failed > 5, `${failed} of 80 were noticed`)
})

eachDriver('a thread that overwrites all the time', async (t, { driver }) => {
  await isUnharmed(t, driver, 'vandal', '1000')
})
