// A saved chat whose texts have everything that Markdown can bring, with two branches.
export const script = '<img src="http://evil.invalid/x.png" onerror="alert(1)"><script>alert(2)</script>';

const answer = `## Two ways to sort

A **merge sort** splits the list, sorts both halves and merges them. It takes $O(n \\log n)$ steps, always:

$$
T(n) = 2\\,T\\!\\left(\\frac{n}{2}\\right) + c\\,n \\quad\\Longrightarrow\\quad T(n) = \\sum_{k=0}^{\\log_2 n} c\\,n = O(n \\log n)
$$

\`\`\`python
def merge_sort(a: list[int]) -> list[int]:
    """Sorted copy of a list."""
    if len(a) < 2:
        return a
    half = len(a) // 2          # both halves, one after the other
    left, right = merge_sort(a[:half]), merge_sort(a[half:])
    out = []
    while left and right:
        out.append((left if left[0] <= right[0] else right).pop(0))
    return out + left + right
\`\`\`

| | merge sort | quicksort |
|---|:---:|---:|
| worst case | \\(n \\log n\\) | \\(n^2\\) |
| memory | $n$ | $\\log n$ |
| stable | yes,<br>H<sub>2</sub>O | no |

1. It costs between $5 and $10 in money, not maths.
2. See [the article](https://example.org/sorting), and this picture: ![a tree](https://example.org/tree.png)
   - [x] nested
   - [ ] lists with \`code\`

> Premature optimisation is the root of all evil.

${script}
`;

const at = Date.now() - 3_600_000;
export const sample = {
  bezel_chat: 1,
  id: "SampleChat01",
  title: "Sorting, explained",
  created: at,
  updated: at,
  model: "Tiny",
  leaf: "a2",
  settings: { system: "Answer like a teacher.", think: true, stop: "", form: "text", schema: "", tools: ["calculator"], ownTools: "", toolChoice: "auto" },
  messages: [
    { id: "u1", parent: null, role: "user", content: "How do I sort a list, and what does 12 * log2(4096) come to?", time: at },
    { id: "a1", parent: "u1", role: "assistant", content: "", thought: "They want a sorting method and a number.\n\nI should **calculate** it.", time: at + 1000, finish: "tool_calls", calls: [{ id: "c1", name: "calculator", arguments: '{"expression":"12 * ln(4096) / ln(2)"}', result: "144" }] },
    { id: "a2", parent: "a1", role: "assistant", content: answer, thought: "The calculator says 144.", time: at + 2000, finish: "stop", stats: { prompt: 412, cached: 380, answer: 318, wait: 0.21, seconds: 9.4 } },
    { id: "b1", parent: "u1", role: "assistant", content: "Use `sorted(a)`.", time: at + 900, finish: "stop" },
  ],
};
