import { createHash } from 'node:crypto'

import { EventSet, PollOpt, type TcpStream } from 'miolo'

import { eachWay } from './support/drivers.ts'
import { pair } from './support/sockets.ts'

const SIZE = 100 * 1024 * 1024
const interest = EventSet.readable().union(EventSet.writable())
const edge = PollOpt.edge()

/** 100 MiB that nowhere repeat within a lane, a buffer or a window of TCP's, in parts of any size. */
class Content {
  readonly #block: Buffer
  #at = 0

  constructor() {
    let state = 1
    const words = Uint32Array.from({ length: 1024 * 1021 }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return state
    })
    this.#block = Buffer.from(words.buffer)
  }

  /** The next part, of this size at most. */
  part(size: number): Buffer {
    const from = this.#at % this.#block.length
    return this.#block.subarray(from, from + Math.min(size, SIZE - this.#at))
  }

  /** The next part begins so many bytes later. */
  skip(count: number): void {
    this.#at += count
  }

  isOver(): boolean {
    return this.#at === SIZE
  }
}

/** Sends back what comes, and holds what the peer does not take yet. */
class Echo {
  readonly #stream: TcpStream
  readonly #buffer: Buffer
  #held: Buffer | undefined
  #hasEnded = false

  constructor(stream: TcpStream, size: number) {
    this.#stream = stream
    this.#buffer = Buffer.alloc(size)
  }

  ready(): void {
    for (;;) {
      while (this.#held !== undefined) {
        const written = this.#stream.write(this.#held)
        if (written === null) return
        this.#held = written < this.#held.length ? this.#held.subarray(written) : undefined
      }
      if (this.#hasEnded) return
      const count = this.#stream.read(this.#buffer)
      if (count === null) return
      if (count === 0) {
        this.#hasEnded = true
        this.#stream.shutdown('write')
      } else this.#held = this.#buffer.subarray(0, count)
    }
  }
}

for (const [name, size] of [
  ['small', 1000],
  ['large', 1024 * 1024],
] as const) {
  eachWay(`100 MB come back unchanged, in ${name} chunks`, async (t, stage) => {
    const loop = stage.open<number>()
    const { client, server } = await pair(stage)
    const echo = new Echo(server, size)
    const content = new Content()
    const [sent, received] = [createHash('sha1'), createHash('sha1')]
    const into = Buffer.alloc(size)
    let back = 0
    loop.register(server, 1, interest, edge)
    loop.register(client, 2, interest, edge)

    function write(): void {
      while (!content.isOver()) {
        const part = content.part(size)
        const count = client.write(part)
        if (count === null) return
        sent.update(part.subarray(0, count))
        content.skip(count)
        if (content.isOver()) client.shutdown('write')
      }
    }

    /** True at the end. */
    function read(): boolean {
      for (let count; (count = client.read(into)) !== null;) {
        if (count === 0) return true
        received.update(into.subarray(0, count))
        back += count
      }
      return false
    }

    await stage.run(loop, {
      ready(loop, token) {
        if (token === 1) return echo.ready()
        write()
        if (read()) loop.shutdown()
      },
    })
    t.is(back, SIZE)
    t.is(received.digest('hex'), sent.digest('hex'))
  })
}
