"""Values: frozen models of the recipe, the plan and the errors. They do no input or output."""
