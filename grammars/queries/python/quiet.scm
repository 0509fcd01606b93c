; Text that is prose to the parser.
(comment) @comment
(string_content) @string
(string) @string
