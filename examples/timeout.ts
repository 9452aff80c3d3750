// A timeout, and what it carries.

import { EventLoop, type Handler } from 'miolo'

class TimeoutHandler implements Handler<number> {
  readonly #start = performance.now()

  timeout(loop: EventLoop<number>, timeout: number): void {
    const elapsed = Math.floor(performance.now() - this.#start)
    console.log(`timeout ${timeout} after ${elapsed} ms`)
    loop.shutdown()
  }
}

const loop = new EventLoop<number>()
const handler = new TimeoutHandler()

// The payload comes first, then the delay in milliseconds.
loop.timeoutMs(123, 100)
const cleared = loop.timeoutMs(456, 50)
loop.clearTimeout(cleared)

await loop.run(handler)
loop.close()
