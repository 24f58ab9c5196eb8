"""The sub-commands of `sfdl`, one module each; `shared` holds what they have in common."""
