// A small Redis: strings, lists, sets and hashes, and keys that expire.
//
//   redis.ts [PORT or ADDRESS [DRIVER]]     127.0.0.1:6379 and `auto`, unless said otherwise
//   redis-cli                               in another terminal, or any client that speaks RESP2
//   redis-benchmark -t ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,lrange,mset
//
// In redis/serve.ts a TcpServer and a loop's timeouts are put together with what knows nothing of them:
// redis/resp.ts reads requests, redis/commands.ts answers them, redis/store.ts holds the keys.

import type { EventLoopConfig } from 'miolo'

import { redis } from './redis/serve.ts'

const [place = process.env.PORT ?? '6379', driver] = process.argv.slice(2)

// The loop itself says so if there is no such driver.
const { server, run, stop, close } = redis(driver as EventLoopConfig['driver'])
const { address, port } = server.listen(place.includes(':') ? place : `127.0.0.1:${place}`)
console.log(`listening on ${address}:${port}; talk to it with: redis-cli -h ${address} -p ${port}`)

process.once('SIGINT', () => void stop())
process.once('SIGTERM', () => void stop())

await run()
close()
