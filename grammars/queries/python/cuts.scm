; Spans that people write in one go: where the corpus cuts middles from.
[(expression_statement) (return_statement) (assert_statement) (raise_statement) (import_statement)
 (import_from_statement) (if_statement) (for_statement) (while_statement) (with_statement) (try_statement)
 (elif_clause) (else_clause) (except_clause) (function_definition) (decorated_definition)] @statement
(block) @block
[(argument_list) (parameters) (dictionary) (list) (tuple)] @arguments
[(call) (attribute) (subscript) (comparison_operator) (boolean_operator) (binary_operator) (lambda)
 (list_comprehension) (conditional_expression) (keyword_argument) (string) (typed_parameter) (assignment)] @expression
