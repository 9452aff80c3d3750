/** Sets many timeouts that carry a number, then clears them: `miolo|node TIMEOUTS`. */
const [side, count] = [process.argv[2], Number(process.argv[3])]

/** All the same, as a server's idle timeouts are, and as suits setTimeout best. */
const DELAY_MS = 60_000

interface Spans {
  setMs: number
  clearMs: number
  rss: number
}

/** Runs `set` for every timeout, then `clear` for every handle. */
function measure<T>(
  timeouts: number,
  set: (index: number) => T,
  clear: (handle: T) => unknown,
): Spans {
  const handles = new Array<T>(timeouts)
  const start = performance.now()
  for (let index = 0; index < timeouts; index += 1) handles[index] = set(index)
  const allSet = performance.now()
  const rss = process.memoryUsage.rss()
  const clearing = performance.now()
  for (let index = 0; index < timeouts; index += 1) clear(handles[index]!)
  return { setMs: allSet - start, clearMs: performance.now() - clearing, rss }
}

async function node(timeouts: number): Promise<Spans> {
  const fired = (index: number): never => {
    throw new Error(`timeout ${index} fired that was to be cleared`)
  }
  return measure(timeouts, (index) => setTimeout(fired, DELAY_MS, index), clearTimeout)
}

async function miolo(timeouts: number): Promise<Spans> {
  const { EventLoop } = await import('miolo')
  const loop = new EventLoop<number, null>({ timerCapacity: Math.max(timeouts, 1) })
  let spans: Spans | undefined
  loop.channel().send(null)
  await loop.run({
    notify(loop) {
      spans = measure(
        timeouts,
        (index) => loop.timeoutMs(index, DELAY_MS),
        (handle) => {
          if (!loop.clearTimeout(handle)) throw new Error('a timeout was not there to be cleared')
        },
      )
      loop.shutdown()
    },
    timeout(_, index) {
      throw new Error(`timeout ${index} fired that was to be cleared`)
    },
  })
  loop.close()
  return spans!
}

const run = side === 'miolo' ? miolo : node
await run(count / 100)
const before = process.memoryUsage.rss()
const cpu = process.cpuUsage()
const { setMs, clearMs, rss } = await run(count)
const { user, system } = process.cpuUsage(cpu)
const peak = Math.max(rss, process.resourceUsage().maxRSS * 1024)
console.log(
  JSON.stringify({
    perSecond: (count * 1000) / (setMs + clearMs),
    setNs: (setMs * 1e6) / count,
    clearNs: (clearMs * 1e6) / count,
    cpuNs: ((user + system) * 1000) / count,
    rssMiB: peak / 2 ** 20,
    growthMiB: (peak - before) / 2 ** 20,
  }),
)
