import * as fc from 'fast-check'
import { type EventLoop, EventSet, PollOpt, type TcpStream } from 'miolo'

import { eachWay } from './support/drivers.ts'
import { pair } from './support/sockets.ts'

const readable = EventSet.readable()

/** How one connection is registered, written to and read from. */
const connections = fc.record({
  mode: fc.constantFrom('edge', 'level', 'oneshot'),
  chunks: fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 12 }),
  reads: fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 12 }),
  /** How many reads there are in a ready, at most; edge reads all. */
  patience: fc.integer({ min: 1, max: 3 }),
})

class Connection {
  readonly mode: string
  readonly #server: TcpStream
  readonly #client: TcpStream
  readonly #chunks: number[]
  readonly #reads: number[]
  readonly #patience: number
  readonly #input: Buffer[] = []
  readonly #output: Buffer[] = []
  #count = 0
  hasEnded = false

  constructor(
    {
      mode,
      chunks,
      reads,
      patience,
    }: typeof connections extends fc.Arbitrary<infer Shape> ? Shape : never,
    { client, server }: { client: TcpStream; server: TcpStream },
  ) {
    this.mode = mode
    this.#chunks = [...chunks]
    this.#reads = reads
    this.#patience = mode === 'edge' ? Infinity : patience
    this.#client = client
    this.#server = server
  }

  register(loop: EventLoop<number>, token: number): void {
    loop.register(this.#server, token, readable, this.#opt())
  }

  /** Sends the next chunk, or the end. */
  speak(): void {
    const size = this.#chunks.shift()
    if (size === undefined) return this.#client.shutdown('write')
    const chunk = Buffer.alloc(size, `${this.#input.length} `)
    this.#input.push(chunk)
    if (this.#client.write(chunk) !== size) throw new Error('it was to fit')
  }

  ready(loop: EventLoop<number>, token: number): void {
    for (let count = 0; count < this.#patience; count++) {
      const into = Buffer.alloc(this.#reads[this.#count++ % this.#reads.length]!)
      const read = this.#server.read(into)
      if (read === null) break
      this.#output.push(into.subarray(0, read))
      if (read === 0) {
        this.hasEnded = true
        this.#server.close()
        return
      }
    }
    if (this.mode === 'oneshot') loop.reregister(this.#server, token, readable, this.#opt())
    if (this.#count % 2 === 0 || this.#isRead()) this.speak()
  }

  matches(): boolean {
    return Buffer.concat(this.#input).equals(Buffer.concat(this.#output))
  }

  #isRead(): boolean {
    const length = (buffers: Buffer[]) => buffers.reduce((sum, { length }) => sum + length, 0)
    return length(this.#input) === length(this.#output)
  }

  #opt(): PollOpt {
    if (this.mode === 'edge') return PollOpt.edge()
    return this.mode === 'level' ? PollOpt.level() : PollOpt.oneshot()
  }
}

eachWay('however little is read in a ready, all of it comes', async (t, stage) => {
  const property = fc.asyncProperty(
    fc.array(connections, { minLength: 1, maxLength: 4 }),
    async (shapes) => {
      const loop = stage.open<number>()
      const all: Connection[] = []
      for (const [token, shape] of shapes.entries()) {
        const connection = new Connection(shape, await pair(stage))
        connection.register(loop, token)
        connection.speak()
        all.push(connection)
      }
      await stage.run(loop, {
        ready(loop, token) {
          all[token]!.ready(loop, token)
          if (all.every(({ hasEnded }) => hasEnded)) loop.shutdown()
        },
      })
      loop.close()
      return all.every((connection) => connection.matches())
    },
  )
  await t.notThrowsAsync(async () => fc.assert(property, { numRuns: 15 }))
})
