; Bodies: where a cursor in an empty one expects several lines.
(statement_block) @body
(class_body) @body
(switch_body) @body
