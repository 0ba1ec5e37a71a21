// Tools that run in the page. None of them asks another machine for anything.

interface Tool {
  what: string;
  declaration: object;
  run(args: Record<string, unknown>): string;
}

function declare(name: string, description: string, properties: object, required: string[]): object {
  return {
    type: "function",
    function: { name, description, parameters: { type: "object", properties, required, additionalProperties: false } },
  };
}

export const builtIn = new Map<string, Tool>([
  [
    "calculator",
    {
      what: "Works out an expression",
      declaration: declare(
        "calculator",
        "Works out an arithmetic expression with + - * / % ^, brackets, pi, e and sqrt, abs, sin, cos, tan, ln, log, exp, round, floor, ceil, min, max.",
        { expression: { type: "string", description: "For example (2 + 3) * sqrt(16)", maxLength: 200 } },
        ["expression"],
      ),
      run: (args) => String(calculate(String(args.expression ?? ""))),
    },
  ],
  [
    "current_time",
    {
      what: "Date, time and time zone of this device",
      declaration: declare("current_time", "The date, the time and the time zone where the user is.", {}, []),
      run: () => {
        const now = new Date();
        const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
        return `${now.toLocaleString("en-GB", { dateStyle: "full", timeStyle: "long" })} (${zone})`;
      },
    },
  ],
]);

export function declarations(names: string[]): object[] {
  return names.flatMap((name) => builtIn.get(name)?.declaration ?? []);
}

/** What a built-in tool answers; a mistake is an answer too, for the model to read. */
export function runTool(name: string, args: string): string {
  try {
    return builtIn.get(name)!.run(JSON.parse(args || "{}"));
  } catch (error) {
    return `Error: ${(error as Error).message}`;
  }
}

const functions: Record<string, (...x: number[]) => number> = {
  sqrt: Math.sqrt,
  abs: Math.abs,
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  ln: Math.log,
  log: Math.log10,
  exp: Math.exp,
  round: Math.round,
  floor: Math.floor,
  ceil: Math.ceil,
  min: Math.min,
  max: Math.max,
};

/** The value of an expression, by recursive descent: sums of products of signed powers. */
export function calculate(expression: string): number {
  const tokens = expression.replaceAll("**", "^").match(/\d+\.?\d*(?:e[+-]?\d+)?|\.\d+|[a-z]+|[-+*/%^(),×÷−]|\S/giu) ?? [];
  let at = 0;
  let depth = 0;
  const take = (...wanted: string[]) => (wanted.includes(tokens[at]) ? tokens[at++] : "");
  const expect = (token: string) => {
    if (!take(token)) throw new Error(`expected "${token}"${at < tokens.length ? ` before "${tokens[at]}"` : " at the end"}`);
  };
  const sum = (): number => {
    if (++depth > 100) throw new Error("the expression is too deep");
    let x = product();
    for (let op: string; (op = take("+", "-", "−")); ) x = op === "+" ? x + product() : x - product();
    --depth;
    return x;
  };
  const product = (): number => {
    let x = signed();
    for (let op: string; (op = take("*", "/", "%", "×", "÷")); ) {
      const y = signed();
      x = op === "*" || op === "×" ? x * y : op === "%" ? x % y : x / y;
    }
    return x;
  };
  const signed = (): number => {
    let sign = 1;
    for (let op: string; (op = take("+", "-", "−")); ) if (op !== "+") sign = -sign;
    return sign * power();
  };
  const power = (): number => {
    const x = value();
    return take("^") ? x ** signed() : x;
  };
  const value = (): number => {
    const token = tokens[at++];
    if (token === undefined) throw new Error("the expression ends too early");
    if (/^[\d.]/.test(token)) return Number(token);
    if (token === "(") {
      const x = sum();
      expect(")");
      return x;
    }
    const name = token.toLowerCase();
    if (name === "pi") return Math.PI;
    if (name === "e") return Math.E;
    if (!Object.hasOwn(functions, name)) throw new Error(`"${token}" is not known`);
    expect("(");
    const args = [sum()];
    while (take(",")) args.push(sum());
    expect(")");
    return functions[name](...args);
  };
  const x = sum();
  if (at < tokens.length) throw new Error(`"${tokens[at]}" was not expected`);
  if (!Number.isFinite(x)) throw new Error("the result is not a finite number");
  return Number(x.toPrecision(15));
}
