; Bodies: where a cursor in an empty one expects several lines.
(block) @body
