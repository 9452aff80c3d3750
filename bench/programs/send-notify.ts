/** Events through native code and back to the same thread: `miolo|tsfn EVENTS WARMUP`. */
const [side, events, warmup] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]

/** Keeps the channel full: every message that arrives sends another one. */
async function miolo(count: number): Promise<void> {
  const { EventLoop } = await import('miolo')
  const loop = new EventLoop<unknown, number>()
  const sender = loop.channel()
  let sent = 0
  let received = 0
  while (sent < Math.min(count, 4096)) sender.send(sent++)
  await loop.run({
    notify(loop, message) {
      if (message !== received) throw new Error(`message ${message} instead of ${received}`)
      received += 1
      if (sent < count) sender.send(sent++)
      else if (received === count) loop.shutdown()
    },
  })
  loop.close()
}

/** A native thread that calls a threadsafe function once for each event. */
async function tsfn(count: number): Promise<void> {
  const native = new URL('./bridge/native/binding.js', import.meta.resolve('miolo'))
  const { callPerEvent } = (await import(native.href)) as {
    callPerEvent(count: number, callback: (event: number) => void): void
  }
  await new Promise<void>((resolve) => {
    let received = 0
    callPerEvent(count, (event) => {
      if (event !== received) throw new Error(`event ${event} instead of ${received}`)
      received += 1
      if (received === count) resolve()
    })
  })
}

const run = side === 'miolo' ? miolo : tsfn
await run(warmup)
const cpu = process.cpuUsage()
const start = performance.now()
await run(events)
const seconds = (performance.now() - start) / 1000
const { user, system } = process.cpuUsage(cpu)
console.log(
  JSON.stringify({ perSecond: events / seconds, cpuPerEvent: ((user + system) * 1000) / events }),
)
