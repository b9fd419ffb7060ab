/** The architecture as rules: who may import whom, and why. `npm run boundaries` checks every import against them. */

const tests = '\\.(test|it\\.test)\\.ts$'
const integrationTests = '\\.it\\.test\\.ts$'
/** Builders of test data beside the code: `fixtures.ts`, `<subject>.fixtures.ts`, `testing/`. */
const fixtures = '((^|/|\\.)fixtures\\.ts$|/testing/)'
const folders = '^(api|cli|connectors|domain|infra|loadtest|platform|processors|schemas|tests)/'

/** Only `folder` may import these packages: the rest of the code then survives a change of client, and the cures are in one place. */
const onlyAdapter = (name, folder, packages) => ({
  name: `only-${folder.split('/').at(-1)}-imports-${name}`,
  comment: `${packages.join(', ')}: only ${folder} may import it, so that its traps are cured in one place and a change of client stays there.`,
  severity: 'error',
  from: { path: folders, pathNot: `^${folder}/` },
  to: { path: `(^|/)node_modules/(${packages.map((each) => each.replaceAll('/', '\\/')).join('|')})/` },
})

export default {
  forbidden: [
    {
      name: 'domain-is-pure',
      comment:
        'domain/ decides about money from values alone: no client, clock, environment or Node module, so a replay gives the same bits. Hashing (crypto) is a function of its input; tests/tidy.test.ts keeps its random half out.',
      severity: 'error',
      from: { path: '^domain/', pathNot: [tests, fixtures] },
      to: { pathNot: ['^domain/', '^(node:)?crypto$'], couldNotResolve: false },
    },
    {
      name: 'domain-tests-stay-light',
      comment: "domain's tests may use the test libraries, but no I/O adapter either: they must be instant.",
      severity: 'error',
      from: { path: `^domain/.*${tests}` },
      to: { path: '^(platform|processors|api|cli|infra|loadtest)/' },
    },
    {
      name: 'platform-knows-no-application',
      comment:
        'platform/ adapts I/O for whoever needs it; knowing the stages or the API would turn the layers into a circle.',
      severity: 'error',
      from: { path: '^platform/', pathNot: integrationTests },
      to: { path: '^(processors|api)/' },
    },
    {
      name: 'stages-are-independent',
      comment:
        'A stage never imports another stage: they share processors/runtime and domain/, and pipeline.ts alone shows their order.',
      severity: 'error',
      from: { path: '^processors/([^/]+)/', pathNot: ['^processors/runtime/', tests, fixtures] },
      to: { path: '^processors/[^/]+/', pathNot: ['^processors/$1/', '^processors/runtime/'] },
    },
    {
      name: 'api-knows-no-processors',
      comment: 'The API only publishes and reads; it must run, scale and fail apart from the processors.',
      severity: 'error',
      from: { path: '^api/', pathNot: integrationTests },
      to: { path: '^processors/' },
    },
    {
      name: 'nothing-imports-cli',
      comment: 'cli/ is the composition root: it puts the parts together, so no part may need it.',
      severity: 'error',
      from: { path: folders, pathNot: '^(cli|tests)/' },
      to: { path: '^cli/' },
    },
    {
      name: 'nothing-imports-tests',
      comment: 'What tests need is not part of the product.',
      severity: 'error',
      from: { path: folders, pathNot: '^tests/' },
      to: { path: '^tests/' },
    },
    {
      name: 'product-does-not-import-test-files',
      comment: 'Test files and their fixtures are not part of the product.',
      severity: 'error',
      from: { path: folders, pathNot: [tests, fixtures, '^tests/', '^infra/local/test-'] },
      to: { path: [tests, fixtures, '^infra/local/test-', '(^|/)node_modules/(vitest|fast-check)/'] },
    },
    {
      name: 'only-roots-import-local-stack',
      comment:
        'Only cli, loadtest, tests and integration tests may start local services; the product takes addresses from its configuration.',
      severity: 'error',
      from: { path: folders, pathNot: ['^(cli|loadtest|tests|infra)/', integrationTests] },
      to: { path: '^infra/local/' },
    },
    {
      name: 'only-cli-and-tests-import-loadtest',
      comment: 'The generator is a customer of the product, not a part of it.',
      severity: 'error',
      from: { path: folders, pathNot: ['^(cli|loadtest|tests)/', integrationTests] },
      to: { path: '^loadtest/' },
    },
    onlyAdapter('kafkajs', 'platform/kafka', [
      'kafkajs',
      'aws-msk-iam-sasl-signer-js',
      'snappy',
      'lz4-napi',
      'zstd-codec',
    ]),
    onlyAdapter('pg', 'platform/postgres', ['pg', 'pg-copy-streams', 'pg-cursor']),
    onlyAdapter('ioredis', 'platform/redis', ['ioredis']),
    onlyAdapter('registry-client', 'platform/schema-registry', [
      '@kafkajs/confluent-schema-registry',
      'avsc',
    ]),
    onlyAdapter('xml', 'connectors/statements', ['saxes']),
    onlyAdapter('s3', 'platform/object-storage', ['@aws-sdk/.*']),
    {
      name: 'no-circular',
      comment: 'A circle has no first file to read, and its order of loading decides whether it works.',
      severity: 'error',
      from: {},
      to: { circular: true, dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-undeclared-packages',
      comment: 'A package that package.json does not name is there by luck.',
      severity: 'error',
      from: { path: folders },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-development-packages-in-product',
      comment:
        'Development packages are absent where the product runs. The local stack is a development tool itself.',
      severity: 'error',
      from: { path: folders, pathNot: [tests, fixtures, '^(tests|loadtest|infra)/'] },
      to: {
        dependencyTypes: ['npm-dev'],
        dependencyTypesNot: ['type-only'],
        pathNot: '(^|/)node_modules/@types/',
      },
    },
    {
      name: 'not-to-unresolvable',
      comment: 'An import that leads nowhere fails only when it runs.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    exclude: { path: '^(coverage|\\.tallystream|k8s|docs|loadtest/http)/' },
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      exportsFields: ['exports'],
    },
  },
}
