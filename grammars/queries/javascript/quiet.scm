; Text that is prose to the parser.
(comment) @comment
(string) @string
(template_string) @string
(regex) @string
