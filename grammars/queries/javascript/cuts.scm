; Spans that people write in one go: where the corpus cuts middles from.
[(expression_statement) (return_statement) (throw_statement) (import_statement) (export_statement) (if_statement)
 (for_statement) (for_in_statement) (while_statement) (try_statement) (switch_case) (else_clause) (catch_clause)
 (function_declaration) (method_definition) (lexical_declaration) (variable_declaration)] @statement
[(statement_block) (class_body)] @block
[(arguments) (formal_parameters) (object) (array)] @arguments
[(call_expression) (member_expression) (subscript_expression) (binary_expression) (arrow_function)
 (ternary_expression) (new_expression) (pair) (string) (template_string) (assignment_expression)] @expression
