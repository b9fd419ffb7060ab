/**
 * The least that a balance service could be: one Fastify route that reads one key of Redis and answers it as JSON. Run by the query
 * scenario: `node loadtest/bench/bare-server.ts REDIS_URL KEY_PREFIX`.
 */
import fastify from 'fastify'
import { openRedis, untilRedisReady } from '#platform/redis/client.ts'

const [redisUrl, keyPrefix] = process.argv.slice(2)
if (redisUrl === undefined || keyPrefix === undefined) throw new Error('expected REDIS_URL and KEY_PREFIX')
const redis = openRedis({ url: redisUrl, connectionName: 'bare' })
await untilRedisReady(redis, 5_000)
const app = fastify()
app.get<{ Params: { id: string } }>('/balance/:id', async (request, reply) => {
  const balance = await redis.get(`${keyPrefix}${request.params.id}`)
  return balance === null ? reply.code(404).send() : JSON.parse(balance)
})
const url = await app.listen({ host: '127.0.0.1', port: 0 })
process.stdout.write(`${JSON.stringify({ url, msg: 'listening' })}\n`)
