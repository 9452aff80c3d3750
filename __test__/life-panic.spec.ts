import test from 'ava'

import { drivers } from './support/drivers.ts'
import { onUnix } from './support/platform.ts'
import { runCode } from './support/process.ts'

/** Gets hold of a loop's native side, and has it panic. */
const PANICS = `
  import { readdirSync } from 'node:fs'
  import { createRequire } from 'node:module'
  import { join } from 'node:path'
  const folder = join(process.cwd(), 'dist', 'bridge', 'native')
  const file = readdirSync(folder).find((name) => name.endsWith('.node'))
  const native = createRequire(import.meta.url)(join(folder, file))
  const { loopOpen } = native
  const handles = []
  native.loopOpen = (...args) => {
    handles.push(loopOpen(...args))
    return handles.at(-1)
  }
  const { EventLoop, EventSet, PollOpt, TcpListener, TcpStream } = await import('miolo')
  const [, driver, way] = process.argv
  const other = new EventLoop({ driver })
  const loop = new EventLoop({ driver })
  const listener = TcpListener.bind('127.0.0.1:0')
  loop.register(listener, 1, EventSet.readable(), PollOpt.edge())
  loop.timeoutMs(0, 10)
  const attempt = async () => {
    try {
      await loop[way]({ timeout: () => native.loopPanic(handles[1]) })
    } catch (error) {
      console.log(error.code ?? 'no code', error.message)
    }
  }
  await attempt()
  loop.close()
  other.timeoutMs('goes on', 1)
  await other.run({ timeout: (loop, word) => { console.log(word); loop.shutdown() } })
`

/** The same, on the thread that has taken the loop over from JavaScript. */
const PANICS_ON_RELIEF = PANICS.replace(
  'native.loopPanic(handles[1])',
  `{
    TcpStream.connect(listener.localAddress())
    while (loop.metrics().turner !== 'thread');
    native.loopPanic(handles[1])
    const until = performance.now() + 30
    while (performance.now() < until);
  }`,
)

onUnix('a panic of the thread that has taken the loop over rejects run', async (t) => {
  const outcome = await runCode(PANICS_ON_RELIEF, { args: ['auto', 'run'] })
  t.like(outcome, { code: 0, signal: null })
  t.regex(outcome.stdout, /^ERR_MIOLO_FAILED .*a panic on purpose\ngoes on\n$/)
})

for (const driver of drivers) {
  test.serial(`a panic in the loop rejects run with its message (${driver})`, async (t) => {
    const outcome = await runCode(PANICS, { args: [driver, 'run'] })
    t.like(outcome, { code: 0, signal: null })
    t.regex(outcome.stdout, /^ERR_MIOLO_FAILED .*a panic on purpose\ngoes on\n$/)
  })

  test.serial(`a panic in runSync is thrown (${driver})`, async (t) => {
    const outcome = await runCode(PANICS, { args: [driver, 'runSync'] })
    t.like(outcome, { code: 0, signal: null })
    t.regex(outcome.stdout, /a panic on purpose\ngoes on\n$/)
  })
}
