import { drivers } from './support/drivers.ts'
import { onUnix } from './support/platform.ts'
import { Program } from './support/program.ts'

/** A loop that runs with traffic, and says so. */
const RUNS = `
  import { EventLoop } from 'miolo'
  const [, driver, way, onSignal] = process.argv
  const loop = new EventLoop({ driver })
  const handler = {
    timeout(loop, count) {
      if (count === 10) console.log('running')
      loop.timeoutMs(count + 1, 1)
    },
  }
  if (onSignal) {
    for (const signal of ['SIGTERM', 'SIGINT']) {
      process.on(signal, () => {
        console.log(signal)
        loop[onSignal]()
      })
    }
  }
  loop.timeoutMs(0, 0)
  await loop[way](handler)
  console.log('ended')
`

for (const driver of drivers) {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    for (const way of ['run', 'runSync']) {
      onUnix(`${signal} ends a process whose loop runs (${driver}, ${way})`, async (t) => {
        const program = new Program(node(RUNS, driver, way))
        t.teardown(() => program.close())
        await program.says(/running/)
        t.like(await program.end(signal), { signal, code: null, stderr: '' })
      })
    }

    for (const what of ['shutdown', 'close']) {
      onUnix(`a listener of ${signal} may ${what} the loop (${driver})`, async (t) => {
        const program = new Program(node(RUNS, driver, 'run', what))
        t.teardown(() => program.close())
        await program.says(/running/)
        const stdout = `running\n${signal}\nended\n`
        t.like(await program.end(signal), { signal: null, code: 0, stdout, stderr: '' })
      })
    }
  }
}

function node(source: string, ...args: string[]): [string, ...string[]] {
  return [process.execPath, '--input-type=module', '--eval', source, ...args]
}
