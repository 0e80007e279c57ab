"""What of a page may change while a run goes on, as a Jinja template."""

TEXT = r"""{% from "parts.html.j2" import table, figure, levels, steps -%}
<main id="content">
<header>
<p class="kind">{{ page.kind }}</p>
<h1>{{ page.title }}</h1>
<p class="lead">{{ page.lead }}</p>
</header>
<nav aria-label="Sections"><ul>
{%- for section in page.sections %}<li><a href="#{{ section.key }}">{{ section.title }}</a></li>{% endfor -%}
</ul></nav>
{% for section in page.sections %}
<section id="{{ section.key }}" aria-labelledby="{{ section.key }}-title">
<h2 id="{{ section.key }}-title">{{ section.title }}</h2>
{%- for each in section.parts %}
{%- if each.form == "tiles" %}
<dl class="tiles">
{%- for tile in each.tiles %}
<div><dt>{{ tile.name }}</dt><dd>{{ tile.value }}{% if tile.levels %} {{ levels(tile.levels) }}{% endif %}{% if tile.note %}<small>{{ tile.note }}</small>{% endif %}</dd></div>
{%- endfor %}
</dl>
{%- elif each.form == "text" %}
<p{% if each.warns %} class="note"{% endif %}>{{ each.text }}{% if each.levels %} {{ levels(each.levels) }}{% endif %}</p>
{%- elif each.form == "table" %}
{{ table(each) }}
{%- elif each.form == "code" %}
<p class="code-title" id="{{ each.key }}-title">{{ each.title }}</p>
<pre tabindex="0" role="region" aria-labelledby="{{ each.key }}-title"><code>{{ each.text }}</code></pre>
{%- elif each.form == "chooser" %}
<fieldset class="chooser" data-chooser="{{ each.key }}"><legend>{{ each.title }}</legend>
{%- for choice in each.choices %}
<label><input type="radio" name="{{ each.key }}" value="{{ choice.key }}"{% if loop.first %} checked{% endif %}><span>{{ choice.title }}</span></label>
{%- endfor %}
</fieldset>
{%- elif each.form == "steps" %}
{{ steps(each) }}
{%- elif each.form == "figure" %}
{{ figure(each) }}
{%- endif %}
{%- endfor %}
</section>
{% endfor %}
<script type="application/json" id="page-data">{{ data }}</script>
</main>
<footer><p>{{ page.footer }}</p></footer>
"""
