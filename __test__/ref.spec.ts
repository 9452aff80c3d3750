/** Whether a running loop keeps the process alive. */

import { LoopError } from 'miolo'

import { eachDriver } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'
import { runCode } from './support/process.ts'

/** A program that makes a loop, which is not collected, and writes `exit` when Node ends by itself. */
const program = (driver: string, body: string) => `
  import { EventLoop, EventSet, PollOpt, TcpListener, TcpStream } from 'miolo'
  const loop = (globalThis.kept = new EventLoop({ driver: '${driver}' }))
  process.on('exit', (code) => console.log('exit', code))
  ${body}`

eachDriver('hasRef is true from the start, and follows ref and unref', (t, { open }) => {
  const loop = open()
  t.true(loop.hasRef())
  t.is(loop.unref(), loop)
  t.false(loop.hasRef())
  loop.unref()
  t.false(loop.hasRef())
  t.is(loop.ref(), loop)
  t.true(loop.hasRef())
  loop.close()
  throwsCode(t, () => loop.ref(), 'ERR_MIOLO_CLOSED', LoopError)
  throwsCode(t, () => loop.unref(), 'ERR_MIOLO_CLOSED', LoopError)
})

eachDriver('ref and unref work while it runs', async (t, { open }) => {
  const loop = open<string>()
  loop.timeoutMs('t', 20)
  loop.unref()
  const run = loop.run({
    timeout(loop) {
      t.false(loop.hasRef())
      loop.ref().unref().ref()
      t.true(loop.hasRef())
      loop.shutdown()
    },
  })
  loop.ref()
  loop.unref()
  const keepsAlive = setTimeout(() => {}, 1_000_000)
  await run
  clearTimeout(keepsAlive)
})

eachDriver('a loop that runs keeps the process alive', async (t, { driver }) => {
  for (const body of [
    `loop.timeoutMs('t', 300)
    await loop.run({ timeout(loop, t) { console.log(t); loop.shutdown() } })`,
    `// It does not keep the process alive, so it is reached only if the loop does, which waits for nothing.
    setTimeout(() => loop.close(), 300).unref()
    await loop.run({})
    console.log('t')`,
  ]) {
    t.like(
      await runCode(program(driver, body)),
      { code: 0, stdout: 't\nexit 0\n', stderr: '' },
      body,
    )
  }
})

eachDriver('a loop that does not run does not', async (t, { driver }) => {
  const source = program(
    driver,
    `loop.timeoutMs('t', 1e6); loop.channel().send('m'); loop.interrupt()`,
  )
  t.like(await runCode(source), { code: 0, stdout: 'exit 0\n', stderr: '' })
})

eachDriver('a loop that has run does not any more', async (t, { driver }) => {
  const source = program(
    driver,
    `const listener = TcpListener.bind('127.0.0.1:0')
    loop.register(listener, 1, EventSet.readable(), PollOpt.level())
    const client = TcpStream.connect(listener.localAddress())
    loop.timeoutMs('far', 1e6)
    loop.timeoutMs('near', 1)
    await loop.run({
      timeout(loop) {
        // There is more to come, of every kind.
        loop.timeoutMs('late', 0)
        loop.channel().send('late')
        loop.interrupt()
        loop.shutdown()
      },
    })
    console.log('over')`,
  )
  t.like(await runCode(source), { code: 0, stdout: 'over\nexit 0\n', stderr: '' })
})

eachDriver('a loop that was unref’d before or while it runs does not', async (t, { driver }) => {
  for (const body of [
    `loop.unref(); loop.timeoutMs('far', 1e6); void loop.run({})`,
    `void loop.run({}); loop.unref()`,
    `loop.timeoutMs('t', 5); void loop.run({ timeout: (loop) => void loop.unref() })`,
    `loop.unref(); void loop.runOnce({}, 1e6)`,
    `void loop.runOnce({}, 1e6); loop.unref()`,
    `loop.timeoutMs('far', 2 ** 31); void loop.run({}); setTimeout(() => loop.unref(), 20)`,
  ]) {
    const source = program(
      driver,
      `process.on('exit', () => console.log(loop.hasRef(), loop.isRunning())); ${body}`,
    )
    const stdout = 'exit 0\nfalse true\n'
    t.like(await runCode(source), { code: 0, stdout, stderr: '' }, body)
  }
})

eachDriver('an unref’d loop goes on for as long as something else lives', async (t, { driver }) => {
  const source = program(
    driver,
    `loop.unref()
    loop.timeoutMs(1, 5)
    let heard = 0
    const alive = setInterval(() => {}, 1e6)
    void loop.run({ timeout(loop, n) {
      if (n === 20) { console.log('heard', n); clearInterval(alive) } else loop.timeoutMs(n + 1, 5)
    } })`,
  )
  t.like(await runCode(source), { code: 0, stdout: 'heard 20\nexit 0\n', stderr: '' })
})

eachDriver('an unref’d loop does at once what Node’s timers ask of it', async (t, { driver }) => {
  const source = program(
    driver,
    `import { setTimeout as sleep } from 'node:timers/promises'
    loop.unref()
    // Neither at first nor after some seconds: V8 wakes Node's loop then, for tasks of its own.
    const late = setTimeout(() => { console.log('late'); process.exit(1) }, 4000)
    let heard
    const run = loop.run({ timeout: (_, t) => heard(t), notify: (_, m) => heard(m) })
    for (const ask of [() => loop.timeoutMs('timeout', 5), () => loop.channel().send('message')]) {
      const what = new Promise((resolve) => (heard = resolve))
      await sleep(200)
      ask()
      console.log(await what)
    }
    await sleep(200)
    loop.shutdown()
    await run
    clearTimeout(late)`,
  )
  t.like(await runCode(source), { code: 0, stdout: 'timeout\nmessage\nexit 0\n', stderr: '' })
})

eachDriver('ref again keeps it alive again', async (t, { driver }) => {
  const source = program(
    driver,
    `loop.unref()
    loop.timeoutMs('t', 200)
    const run = loop.run({ timeout(loop, t) { console.log(t); loop.shutdown() } })
    loop.ref()
    await run`,
  )
  t.like(await runCode(source), { code: 0, stdout: 't\nexit 0\n', stderr: '' })
})
