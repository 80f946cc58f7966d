"""SerenGPT: one language model with two verbs, `imagine` and `score`.

Knows nothing about topics, stores or catalogues. The engines are imported by name where they are used, so that importing this
package loads no runtime.
"""
