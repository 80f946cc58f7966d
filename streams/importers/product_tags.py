"""The tags of an Online Retail product: attributes, interests and scenarios, from its name and category.

Knows nothing about users. A row whose phrase stands in the name or the leaf, or whose `@department` is the product's, gives
its tag; the tags come in the order of the table, so the same product has the same tags in every process.
"""

from __future__ import annotations

from functools import cache

from streams.importers.phrases import Phrase, haystack, occurs, table_rows

TAGS = """
attribute:red = red | raspberry
attribute:pink = pink | fuschia
attribute:blue = blue | turquoise | turq | teal | aqua | eau de nil | eau de nile
attribute:green = green | lime | olive | mint | pistachio
attribute:white = white
attribute:cream = cream | ivory
attribute:black = black | jet
attribute:yellow = yellow
attribute:orange = orange | amber
attribute:purple = purple | lilac | amethyst
attribute:brown = brown | chocolate | choc
attribute:grey = grey
attribute:gold = gold
attribute:silver = silver
attribute:multicolour = multicolour | coloured | rainbow | colourful
attribute:wood = wood | wooden
attribute:metal = metal | tin | aluminium | cast iron | steel | wire
attribute:zinc = zinc
attribute:glass = glass
attribute:ceramic = ceramic | porcelain | bone china
attribute:enamel = enamel
attribute:paper = paper
attribute:felt = felt | feltcraft
attribute:wicker = wicker
attribute:knitted = knitted | woolly | crochet
attribute:cotton = cotton
attribute:lace = lace | doily
attribute:crystal = crystal | diamante
attribute:beads = bead | beaded
attribute:shell and pearl = shell | pearl | mop | m o p
attribute:acrylic = acrylic
attribute:flock = flock
attribute:polkadot = polkadot | spotty | polka dot | spot
attribute:retrospot = retrospot | retro spot
attribute:striped = stripe | stripey | stripy
attribute:gingham = gingham
attribute:paisley = paisley
attribute:floral = floral | flower | rose | daisy | botanical | blossom | lily | peony | chrysanthemum | posy
attribute:heart = heart | sweetheart | love heart
attribute:star = star
attribute:bird = bird | lovebird | owl | dove | swallow | duck | robin
attribute:butterfly = butterfly | b'fly
attribute:cat = cat | kitten
attribute:dog = dog | scottie
attribute:rabbit = rabbit | bunny
attribute:strawberry = strawberry
attribute:skull = skull
attribute:union jack = union jack | union flag
attribute:london = london
attribute:babushka = babushka
attribute:dolly girl = dolly girl
attribute:spaceboy = spaceboy
attribute:suki = suki
attribute:charlie and lola = charlie
attribute:circus parade = circus parade
attribute:woodland = woodland | forest
attribute:regency = regency
attribute:baroque = baroque | rococo
attribute:vintage = vintage | vint | antique | victorian | edwardian
attribute:retro = retro | 50's | 70's | bakelike | diner
attribute:french style = french | brocante | paris | parisienne | chateau
attribute:moroccan = medina | moroccan
attribute:scandinavian = scandinavian | folkart | folk art
attribute:shabby chic = shabby | rustic | cottage
attribute:scented = scented | scent | incense | lavender | vanilla
attribute:large = large | jumbo | giant | big
attribute:small = small | mini | petit
attribute:hanging = hanging
interest:baking = @baking | baking | cake tin | pastry brush
interest:cooking = frying pan | chopping board | kitchen scales | recipe | oven glove | cooking set | measuring jar
    | jam making
interest:tea time = tea | teatime | teacup | teapot | tea cosy
interest:coffee = coffee
interest:gardening = @garden | gardening | childs garden | grow your own | potting shed
interest:sewing = sewing | pin cushion | measuring tape | iron on
interest:knitting = knitting kit | knitting nancy
interest:paper craft = card and stamp kit | paper craft | scrap book | sticker
interest:felt craft = feltcraft
interest:drawing = pencil | drawing | colouring | stencil | paint set | sketchbook | crayon
interest:writing = notebook | journal | stationery set | writing set | pens
interest:candles = t light | candle
interest:jewellery = @jewellery
interest:cosmetics = cosmetic bag | compact mirror | washbag | lip gloss
interest:home improvement = drawer knob | hook | tools | door number and sign
interest:home decorating = @home-decoration | @wall-decoration | @soft-furnishings
interest:photos = photo | photo frame
interest:games = jigsaw | playing card | traditional game | outdoor game
interest:pets = pet bowl | dog toy
interest:cycling = bicycle
interest:tidying up = storage | cabinet | organiser | tidy | basket and crate
scenario:christmas = @christmas | christmas | reindeer | santa | snowman | advent | nativity
scenario:easter = @easter | easter
scenario:valentine = valentine | love heart
scenario:halloween = halloween | skull
scenario:birthday = birthday
scenario:wedding = wedding | confetti | place settings
scenario:party = @party | party | cocktail | celebration
scenario:picnic = picnic | hammock | food cover | lunch box | lunch bag
scenario:school = lunch box | lunch bag | exercise book | pencil | erasers and sharpeners | children's tableware
scenario:travel = @bags-and-travel + travel | luggage | passport | holiday | travel | airline | cabin bag | overnight bag
    | weekend bag
scenario:shopping = shopping bag | shopper | jumbo bag
scenario:gift wrapping = wrapping paper | gift bag | gift tag | gift tape | ribbon | gift box
scenario:sending cards = birthday card | greeting card | christmas card | postcard
scenario:new baby = baby
scenario:children's room = @children | @toys-and-games
scenario:keeping warm = hot water bottle | hand warmer | slipper | throw
scenario:seaside = seaside | beach
scenario:breakfast = breakfast | egg cup | egg cosy
scenario:afternoon tea = cake stand | cup and saucer | teapot | tea plate
scenario:dinner table = placemat | coaster | cutlery | napkin | dinner candle | drinking glass
scenario:bathroom = @bath-and-health + bathroom | soap dish | towel | flannel | bathroom
"""


@cache
def _rows() -> tuple[tuple[str, tuple[Phrase, ...]], ...]:
    return tuple(table_rows(TAGS))


def product_tags(name: str, path: tuple[str, str]) -> tuple[str, ...]:
    """The tags of a product, as `family:tag`.

    Args:
        name: the product's name.
        path: its department and leaf.

    Example:
        >>> product_tags("RED RETROSPOT CAKE STAND", ("baking", "cake stand"))
        ('attribute:red', 'attribute:retrospot', 'interest:baking', 'scenario:afternoon tea')
    """
    department, leaf = path
    text = f"{haystack(name)}; {haystack(leaf)[2:]}; @{department.replace(' ', '-')} "
    return tuple(tag for tag, phrases in _rows() if any(occurs(phrase, text) for phrase in phrases))
