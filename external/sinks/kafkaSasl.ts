/** The `sasl_…` parameters of Kafka sinks, with CockroachDB's rules and words (spec: cockroachdb §3.3). Pure. */
import { PgPierError } from '../../errors.ts';
import { isRoleArn } from '../aws/awsUri.ts';
import { booleanParameter } from '../storage/parameters.ts';
import { base64Parameter } from '../tlsParameters.ts';

export const saslParameterNames = [
  'sasl_enabled',
  'sasl_handshake',
  'sasl_mechanism',
  'sasl_user',
  'sasl_password',
  'sasl_client_id',
  'sasl_client_secret',
  'sasl_token_url',
  'sasl_scopes',
  'sasl_grant_type',
  'sasl_aws_region',
  'sasl_aws_iam_role_arn',
  'sasl_aws_iam_session_name',
] as const;

type Name = (typeof saslParameterNames)[number];
export type SaslParameters = Partial<Readonly<Record<Name, string>>>;

export type KafkaSasl =
  | { readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'; readonly user: string; readonly password: string }
  | {
      readonly mechanism: 'OAUTHBEARER';
      readonly clientId: string;
      readonly clientSecret: string;
      /** `https://host/path`, or `http://`. */
      readonly tokenUrl: string;
      readonly scopes: readonly string[];
      readonly grantType: string;
    }
  | {
      readonly mechanism: 'AWS_MSK_IAM';
      readonly region: string;
      /** Without it the machine's own identity is shown. */
      readonly role?: { readonly arn: string; readonly session: string };
    };

type Mechanism = KafkaSasl['mechanism'];

const passwordMechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const;
/** Which parameters belong to which mechanisms alone. */
const belongs: readonly (readonly [names: readonly Name[], mechanisms: readonly Mechanism[]])[] = [
  [['sasl_user', 'sasl_password'], passwordMechanisms],
  [['sasl_client_id', 'sasl_client_secret', 'sasl_token_url', 'sasl_scopes', 'sasl_grant_type'], ['OAUTHBEARER']],
  [['sasl_aws_region', 'sasl_aws_iam_role_arn', 'sasl_aws_iam_session_name'], ['AWS_MSK_IAM']],
];

/**
 * @returns undefined without SASL
 * @throws PgPierError 22023 for parameters that are missing, superfluous or wrong; 0A000 for `sasl_handshake=false`
 */
export function readSasl(given: SaslParameters): KafkaSasl | undefined {
  const enabled = booleanParameter('sasl_enabled', given.sasl_enabled);
  const handshake = given.sasl_handshake ? booleanParameter('sasl_handshake', given.sasl_handshake) : undefined;
  if (!enabled) return requireNothing(given);
  if (handshake === false) throw new PgPierError('notSupported', { what: 'sasl_handshake=false' });
  const mechanism = readMechanism(given.sasl_mechanism || 'PLAIN');
  for (const [names, mechanisms] of belongs) {
    const superfluous = names.find((name) => given[name]);
    if (superfluous !== undefined && !mechanisms.includes(mechanism)) {
      const words = mechanisms.length === 1 ? mechanisms[0]! : `${mechanisms.slice(0, -1).join(', ')}, or ${mechanisms.at(-1)}`;
      throw new PgPierError('saslParameterForeign', { parameter: superfluous, mechanisms: words });
    }
  }
  const required = (name: Name): string => {
    const using = mechanism === 'PLAIN' ? '' : ` using mechanism ${mechanism}`;
    if (!given[name]) throw new PgPierError('saslParameterMissing', { parameter: name, using });
    return given[name];
  };
  switch (mechanism) {
    case 'OAUTHBEARER':
      return readOAuth(given, required);
    case 'AWS_MSK_IAM':
      return readAws(given, required);
    default:
      return { mechanism, user: required('sasl_user'), password: required('sasl_password') };
  }
}

/** What is given to SASL without SASL is a mistake: the user believes that somebody logs in. */
function requireNothing(given: SaslParameters): undefined {
  if (given.sasl_handshake) throw new PgPierError('saslDisabled', { purpose: 'to configure SASL handshake behavior' });
  if (given.sasl_mechanism) throw new PgPierError('saslDisabled', { purpose: 'to configure SASL mechanism' });
  const other = saslParameterNames.find((name) => name !== 'sasl_enabled' && given[name]);
  if (other !== undefined) throw new PgPierError('saslDisabled', { purpose: `if ${other} is provided` });
}

function readMechanism(value: string): Mechanism {
  const found = (['AWS_MSK_IAM', 'OAUTHBEARER', ...passwordMechanisms] as const).find((mechanism) => mechanism === value);
  if (found === undefined) throw new PgPierError('saslMechanismInvalid');
  return found;
}

function readOAuth(given: SaslParameters, required: (name: Name) => string): KafkaSasl {
  const clientId = required('sasl_client_id');
  required('sasl_client_secret');
  const tokenUrl = required('sasl_token_url');
  const clientSecret = base64Parameter('sasl_client_secret', given.sasl_client_secret)!.toString('utf8');
  const url = URL.canParse(tokenUrl) ? new URL(tokenUrl) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username || url.password || url.hash) {
    throw new PgPierError('parameterInvalid', { parameter: 'sasl_token_url', must: 'be an http(s) URL without a user' });
  }
  return {
    mechanism: 'OAUTHBEARER',
    clientId,
    clientSecret,
    tokenUrl: url.href,
    // A scope has neither blanks nor commas (RFC 6749 §3.3 has the first).
    scopes: (given.sasl_scopes ?? '').split(/[\s,]+/).filter(Boolean),
    grantType: given.sasl_grant_type || 'client_credentials',
  };
}

function readAws(given: SaslParameters, required: (name: Name) => string): KafkaSasl {
  const region = required('sasl_aws_region');
  // It becomes a part of a host name.
  if (!/^[A-Za-z0-9-]{1,63}$/.test(region)) {
    throw new PgPierError('parameterInvalid', { parameter: 'sasl_aws_region', must: 'be the name of a region, such as us-east-1' });
  }
  if (!given.sasl_aws_iam_role_arn && !given.sasl_aws_iam_session_name) return { mechanism: 'AWS_MSK_IAM', region };
  const arn = required('sasl_aws_iam_role_arn');
  const session = required('sasl_aws_iam_session_name');
  if (!isRoleArn(arn)) throw new PgPierError('parameterInvalid', { parameter: 'sasl_aws_iam_role_arn', must: 'be the ARN of a role' });
  // Amazon's limits.
  if (!/^[\w+=,.@-]{2,64}$/.test(session)) {
    throw new PgPierError('parameterInvalid', { parameter: 'sasl_aws_iam_session_name', must: 'be 2 to 64 of A-Z a-z 0-9 _ + = , . @ -' });
  }
  return { mechanism: 'AWS_MSK_IAM', region, role: { arn, session } };
}
