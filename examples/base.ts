// The smallest handler: it handles nothing.

import { EventLoop, type Handler } from 'miolo'

const handler: Handler = {}

const loop = new EventLoop()

// A shutdown before the run is not lost: the run returns at once.
loop.shutdown()
await loop.run(handler)

console.log('the loop has run, and has stopped')
loop.close()
