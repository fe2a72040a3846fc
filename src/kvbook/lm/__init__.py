"""What a language model is here: loading, its wheel, configurations, costs on paper, chat templates."""
