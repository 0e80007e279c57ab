"""The whole page, as a Jinja template."""

TEXT = r"""{% from "parts.html.j2" import table, figure, levels, steps -%}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{{ generator }}
<meta name="color-scheme" content="light dark">
<title>{{ page.title }}</title>
<link rel="icon" href="data:,">
<style>{{ css }}</style>
</head>
<body>
<a class="skip" href="#content">To the content</a>
{% include "body.html.j2" %}
{% if live %}
<p id="live" role="status"></p>
{% endif %}
<noscript><p class="note">The charts need JavaScript; the tables do not.</p></noscript>
<script type="module">{{ libraries }}</script>
<script type="module">{{ script }}</script>
</body>
</html>
"""
