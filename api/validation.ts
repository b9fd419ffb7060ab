/**
 * Checks requests by their routes' schemas, and says what was refused: which property, and what was expected of it. Values are not
 * repeated: they may be secret.
 */
import { AjvCompiler, type BuildCompilerFromPool } from '@fastify/ajv-compiler'
import type { FastifySchemaValidationError } from 'fastify'
import { Problem } from '#api/problem.ts'

const PLACES: Readonly<Record<string, string>> = {
  querystring: 'query parameter ',
  params: 'path parameter ',
  headers: 'header ',
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  null: 'null',
}

const compilers = AjvCompiler()

/**
 * Text becomes what a schema wants only where all is text: in path, query and headers. A body's values have types of their own;
 * turned into others, `"from": true` would be the account "true".
 */
export const buildValidator: BuildCompilerFromPool = (schemas) => {
  const compilerOf = (coerceTypes: boolean) =>
    compilers(schemas, {
      customOptions: { coerceTypes, removeAdditional: false, allowUnionTypes: true, verbose: true },
    })
  const [body, others] = [compilerOf(false), compilerOf(true)]
  // Its types say that it is given a schema; it is given the route's part that the schema is of.
  return (route) => ((route as { httpPart?: string }).httpPart === 'body' ? body(route) : others(route))
}

/** The part of a schema that tells people more. */
interface Described {
  readonly description?: string
  readonly examples?: readonly unknown[]
  readonly properties?: Readonly<Record<string, unknown>>
}

/**
 * The problem for the first thing that a schema refused, with the property as `property`, for example `postings/0/amount`.
 *
 * @param place What was checked, as Fastify names it: body, querystring, params or headers.
 */
export function validationProblem(errors: readonly FastifySchemaValidationError[], place: string): Problem {
  const [error] = errors
  if (error === undefined) return new Problem(400, 'request_invalid', 'The request is not as expected.')
  const property = propertyOf(error)
  const subject = property === '' ? `the ${place}` : `${PLACES[place] ?? ''}${property}`
  return new Problem(400, 'request_invalid', `${subject} ${expectation(error)}`, {
    members: property === '' ? {} : { property },
  })
}

function propertyOf({ instancePath, params }: FastifySchemaValidationError): string {
  const inner = params.missingProperty ?? params.additionalProperty
  return [...instancePath.split('/').slice(1), ...(typeof inner === 'string' ? [inner] : [])].join('/')
}

function expectation(error: FastifySchemaValidationError): string {
  const { keyword, params } = error
  const schema = (error as { parentSchema?: Described }).parentSchema ?? {}
  const { limit } = params as { limit?: number }
  switch (keyword) {
    case 'required':
      return `is missing${hintOf(schema.properties?.[String(params.missingProperty)] as Described)}`
    case 'additionalProperties':
      return `is not known here; expected ${Object.keys(schema.properties ?? {}).join(', ')}`
    case 'enum':
      return `must be one of ${(params.allowedValues as readonly unknown[]).join(', ')}`
    case 'type':
      return `must be ${typesOf(params.type)}${hintOf(schema)}`
    case 'pattern':
      return `is not of the expected form${hintOf(schema)}`
    case 'minLength':
      return limit === 1 ? 'must not be empty' : `must have at least ${limit} characters${hintOf(schema)}`
    case 'maxLength':
      return `must have at most ${limit} characters${hintOf(schema)}`
    case 'minimum':
      return `must be at least ${limit}`
    case 'maximum':
      return `must be at most ${limit}`
    case 'maxItems':
    case 'maxProperties':
      return `must hold at most ${limit}`
    default:
      return error.message ?? 'is not as expected'
  }
}

const typesOf = (type: unknown): string => {
  const types = (Array.isArray(type) ? type : String(type).split(',')) as string[]
  return types.map((each) => TYPE_WORDS[each] ?? each).join(' or ')
}

/** What the schema's own words add. */
function hintOf(schema: Described | undefined): string {
  const { description, examples } = schema ?? {}
  const example = examples?.[0] === undefined ? [] : [`for example ${JSON.stringify(examples[0])}`]
  const words = [...(description === undefined ? [] : [description.replace(/\.\s*$/, '')]), ...example]
  return words.length === 0 ? '' : ` (${words.join('; ')})`
}
