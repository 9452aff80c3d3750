/**
 * Timeouts where the system gives no clock to be watched, which strace makes up. Without strace, or where it may not
 * trace, that is not tested, and the log says so; with `MIOLO_REQUIRE_STRACE=1` that is a failure.
 */

import { drivers } from './support/drivers.ts'
import { onLinux } from './support/platform.ts'
import { Program } from './support/program.ts'
import { canTrace, strace } from './support/strace.ts'

/** Sets a timeout after the other, clears one that is earlier, and tells how many came, and how many too early. */
const TIMEOUTS = `
  import { performance } from 'node:perf_hooks'
  import { EventLoop } from 'miolo'
  const loop = new EventLoop({ driver: process.argv[1] })
  let [count, early] = [0, 0]
  const set = (milliseconds) => loop.timeoutMs(performance.now() + milliseconds, milliseconds)
  loop.clearTimeout(set(2))
  set(3)
  await loop.run({
    timeout(loop, deadline) {
      if (performance.now() < deadline) early++
      if (++count === 20) loop.shutdown()
      else set(count % 5)
    },
  })
  console.log(count + ' came, ' + early + ' early.')
`

for (const driver of drivers) {
  onLinux(`timeouts come, and none is early (${driver})`, async (t) => {
    if (!canTrace(t)) return
    const { command, log } = strace(
      t,
      '-e',
      'trace=timerfd_create',
      '-e',
      'inject=timerfd_create:error=EMFILE',
    )
    const node = [process.execPath, '--input-type=module', '--eval', TIMEOUTS, driver]
    const program = new Program([...command, ...node] as [string, ...string[]])
    t.teardown(() => program.close())
    const [, said] = await program.says(/(\d+ came, \d+ early)\./)
    t.is(said, '20 came, 0 early')
    t.is(log().includes('INJECTED'), driver !== 'thread')
  })
}
