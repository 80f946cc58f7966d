"""The curated table behind `streams.importers.leaf_category`: product types, their departments, the words that name them.

Knows nothing about files or events. One row per type, `department / leaf = phrase | phrase | ...`; an indented line goes on
with the row above it. A phrase is words that stand side by side in the name; `^` binds it to the start of the name; `a + b`
asks for all its parts, anywhere in the name. The first row from the top that has a phrase in the name gives the leaf: so a row
that must win over another stands above it, a bare noun stands near the end, and a leaf may have rows in several places.
"""

from __future__ import annotations

TABLE = """
# -- types that lead the name, or that win over every word beside them
wall decoration / wall art = ^wall art | mirrored wall art
soft furnishings / doormat = ^doormat
soft furnishings / doorstop = doorstop
soft furnishings / cushion cover = cushion cover | c cover
soft furnishings / cushion = filler pad | seat cushion | floor cushion | pot pouri cushion
cards and gift wrap / wrapping paper = ^wrap | gift wrap | roll wrap | wrapping paper | tissue ream
toys and games / playing cards = playing card | snap card | card game
wall decoration / card holder = card holder
bags and travel / travel card wallet = travel card wallet
stationery and craft / card and stamp kit = card kit | kit card | scrap book | stamp set | sponge sticker | notelet kit
    | paper craft | craft sticker
cards and gift wrap / birthday card = birthday card | birthday + card
cards and gift wrap / christmas card = christmas card | card christmas | robin + card | motorbike santa
    | card hanging bauble | christmas fun card
cards and gift wrap / postcard = postcard
cards and gift wrap / greeting card = greeting card | blank card | thank you card | ^card | message card | folkart card
    | dolly card | park card
kitchen / fridge magnet = magnet
kitchen / food cover = food cover
kitchen / recipe box = recipe
stationery and craft / memo board = memo board | chalkboard | blackboard | shopping list | memo holder | black board
furniture and storage / small rack and stand = magazine rack | newspaper stand | umbrella stand
furniture and storage / kitchen cupboard = cutlery cupboard | cutlery shelf | cutlery box
wall decoration / clock = wall clock | kitchen clock | table clock | carriage clock | refectory clock | art deco clock
    | clock with sucker | pink clock | metal clock
home decoration / alarm clock = alarm clock

# -- wearing and carrying
accessories / bag charm = bag charm | glass bead charm
accessories / phone charm = phone charm
accessories / keyring = key ring | keyring | key chain | key fob
accessories / umbrella = umbrella | rain hat
accessories / rainwear = rain mac | rain poncho
accessories / parasol and fan = edwardian parasol | paper parasol | decorative parasol | silk fan | sandalwood fan
    | traveling fan | fan black frame
accessories / sunglasses = sunglasses | glasses case
accessories / compact mirror = compact mirror | pocket mirror | tutti frutti mirror
accessories / headphones and radio = headphone | boom box | retro radio
accessories / slippers and scarves = slipper | bead pink scarf
bags and travel / luggage tag = luggage tag
bags and travel / passport cover = passport cover
bags and travel / travel purse = holiday purse
jewellery / earrings = earring
jewellery / necklace and bracelet set = necklace bracelet
jewellery / bracelet = bracelet | bangle
jewellery / necklace = necklace | choker | lariat
jewellery / brooch and badge = brooch | badge
jewellery / ring = expandable ring | flower ring | boudicca ring | bubblegum ring | rosebud ring | silver ring
    | diamante ring
jewellery / jewellery stand = jewellery stand | jewel stand | jewellery set | bling key
jewellery / hair accessories = hair clip | hair slide | hair grip | hair comb | hair band | hair tie | cluster slide
    | tiara | bobble
stationery and craft / felt craft kit = handbag kit
party / party bag = party bag
bags and travel / lunch bag = lunch bag
bags and travel / charlotte bag = charlotte bag
bags and travel / jumbo bag = jumbo bag | jumbo shopper | jumbo storage bag
bags and travel / shopping bag = shopper bag | shopping bag | tote bag | recycling bag | carry all
bags and travel / picnic bag and basket = picnic bag | picnic hamper | backpack for 2 | picnic basket | picnic box
bags and travel / backpack = backpack
bags and travel / cosmetic bag = cosmetic bag
bags and travel / washbag = washbag | wash bag
bags and travel / shoulder bag = shoulder bag | beach bag | drawstring bag | pocket bag | bum bag | kid bag
bags and travel / travel bag = airline bag | cabin bag | overnight bag | weekend bag | mini case
cards and gift wrap / gift bag = gift bag | paper bag | bottle bag | gift sack | bottle dressing
cards and gift wrap / gift box = handbag gift box | sweetie gift box | pannetone | paper box
bags and travel / handbag = handbag | hand bag | evening bag | flower bag | check bag | candy bag
stationery and craft / notebook = purse notebook
accessories / purse = purse

# -- baking, before the feasts whose names its moulds and tins carry
baking / cake cases = cake case | petit four case | baking case | cup cake case
baking / cookie cutters = cookie cutter | biscuit cutter
baking / baking mould = baking mould | jelly mould | lolly mould | lolly maker | toast its
baking / baking set = baking set | toy cooking | cooking set
baking / cake tin = cake tin | cake carrier
candles and lighting / t-light holder = mini cake stand t light
baking / cake stand = cake stand | cake cover | glass cloche | ceramic cake bowl
baking / cake decorations = cake decoration | cake frill | cupcake lace | cocktail sword
baking / doilies = 36 doily | paper doily | flower doily
baking / baking utensils = rolling pin | wooden spoon | pastry brush | balloon whisk | hook spatula | mini ladle
    | measuring spoon | apple corer | squeezer

# -- candles and lighting
candles and lighting / incense = incense
candles and lighting / oil burner = oil burner | fragrance oil
candles and lighting / t-light holder = t light holder | t light hold | t light glass | glass etched t light
    | t light setting | glass hanging t light | t light set
candles and lighting / t-light candles = t light | led tea light
candles and lighting / candlestick = candlestick | candle stick | candlestand | candle stand | candle spike
candles and lighting / candle plate = candle plate | base for candle | candle holder base | frosted white base
candles and lighting / candle pot = candle pot
candles and lighting / candle holder = candle holder | votive holder | wire for candle | hurricane lamp | plate candle bowl
candles and lighting / garden candle = citronella | pot plant candle | potting shed rose candle | cactus candle
    | cacti candle
candles and lighting / birthday candles = birthday candle | celebration candle | party candle | candle letter
candles and lighting / dinner candles = dinner candle | taper candle | fork candle
candles and lighting / boxed scented candle = morris + candle | candle in jewelled box | candle jewelled box
    | candle jewel box | candle jewelled drawer | candle in box | candle in digitalis
candles and lighting / candle in bowl = candle in bowl
candles and lighting / scented candle = scented + candle | scent + candle | votive candle | botanical candle
candles and lighting / pillar candle = pillar candle | columbian + candle | columbian cube | pebble candle
    | sculpted + candle
candles and lighting / decorative candle = candle
candles and lighting / matches = box match | tube match
candles and lighting / lampshade = lampshade | lamp shade | bead pink shade
candles and lighting / night light = night light | bedside light | table light
candles and lighting / string lights = fairy light | light string | string 20light | 20 light | light chain | party light
    | dolly light | owl light | light garland | cherry light | christmas light | chilli light | flamingo light
    | mini light | bird light | art light
candles and lighting / disco and novelty light = disco ball rotator | mirrored disco ball | lightbulb | star bulb
    | silicon cube | plasmatronic | led torch | light decoration | ubo light
candles and lighting / lamp = lamp
candles and lighting / paper lantern = paper lantern | paper table lantern
candles and lighting / lantern = lantern
candles and lighting / chandelier = chandelier

# -- christmas
christmas / advent calendar = advent
christmas / christmas stocking = christmas stocking | heart stocking | pink stocking | stocking christmas
    | stocking decoration
christmas / christmas tree = black christmas tree | goose feather | white christmas tree | turquoise christmas tree
    | dusty pink christmas tree | magic christmas tree | christmas tree bauble stand
christmas / christmas cracker = cracker
cards and gift wrap / gift tags = gift tag | metal tag
christmas / wreath = wreath
christmas / christmas bauble = kashmir folkart bauble | glass bauble | folkart bauble | flock christmas ball
    | christmas flock droplet | christmas glass ball
christmas / zinc christmas decoration = christmas + zinc | folkart + star | zinc folkart
christmas / wooden christmas decoration = wooden + christmas | wood + christmas | retrospot + wood | wooden sleigh
    | wooden tree decoration | rocking horse
christmas / christmas tree decoration = tree decoration | christmas decoration | christmas dec | christmas tree heart
    | christmas tree star | party cone candy tree
christmas / hanging christmas decoration = christmas + hanging
christmas / bells and laurels = jingle bell | sleigh bell | laurel heart | laurel star | holly bell
christmas / christmas craft = christmas craft | christmas stamp

# -- easter
toys and games / felt farm animal = felt farm | farmyard
toys and games / novelty toy = ninja rabbit | sticky bunny
kitchen / egg cosy = egg cosy | egg warmer
easter / easter egg basket = easter egg basket | chick in basket | egg in basket
easter / easter tin = easter tin
easter / easter egg hunt = egg hunt | picture book egg | paint your own egg
easter / easter egg decoration = hanging egg | easter egg | paper egg | spring flower egg | egg house | butterfly egg
    | decoration egg | painted egg
party / garland = bunny + garland | rabbit + garland
easter / easter bunny = easter bunny | easter rabbit | rabbit easter | bunny wooden | metal bunny | swinging bunny
    | mini bunny | candy spot bunny | candy spot rabbit | painted pink rabbit | rabbit ladder | wobbly rabbit
    | metal rabbit | easter decoration + bunny | rabbit easter decoration | bunny decoration
easter / easter chick and hen = fluffy chick | wobbly chicken | hanging chick | hanging hen | easter hen | rainbow chick
    | hen house | knitted hen | metal chicken | chick magic | chick decoration | chick easter | easter craft 4 chick
    | natural chick
easter / easter decoration = easter

# -- kitchen
kitchen / frying pan = frying pan | milk pan | egg pan
kitchen / apron = apron
kitchen / washing up = washing up | scrubbing brush
kitchen / oven glove = oven glove | oven mitt
kitchen / tea towel = tea towel
kitchen / tea cosy = tea cosy | mug cosy | mug warmer
kitchen / chopping board = chopping board
kitchen / kitchen scales = kitchen scale
kitchen / bread bin = bread bin | biscuit bin
kitchen / kitchen canister = tea coffee | tea caddy | coffee caddy | tea container | coffee container | sugar dispenser
    | spice tin | herb tin
kitchen / jam making = jam jar with | jam making
kitchen / storage jar = storage jar | glass jar | bon bon jar | bonne jam jar | cookie jar | bell jar | biscuit barrel
    | cannister | jam pot | pot w lid
kitchen / egg cup = egg cup | egg holder | egg basket | egg box
tableware / pet bowl = cat bowl | dog bowl | cat food container | dog food container
kitchen / food container = snack box | round container | lid glass bowl | food container
kitchen / kitchen organiser = kitchen organiser | utensil holder
kitchen / kitchen gadget = kitchen thermometer | colander | bottle opener | measuring jar | coffee grinder | chopstick
kitchen / biscuit tin = biscuit tin

# -- children
children / lunch box = lunch box
children / children's tableware = childrens mug | childrens dolly girl mug | childrens cup | childrens bowl
    | childrens spaceboy mug | childrens circus parade mug | beaker
children / children's cutlery = childrens cutlery
children / breakfast set = childs breakfast
children / baby gift = baby gift | baby bib
children / children's garden tools = childs garden | childrens garden | wheelbarrow
children / seaside toys = seaside bucket | beach spade | sandcastle flag | flying disc
children / toy tidy = toy tidy
toys and games / helicopter and glider = helicopter | glider
toys and games / jigsaw = jigsaw
toys and games / drawing slate = drawing slate
stationery and craft / paint and stencil set = paint set | paint your own | stencil | colouring set
toys and games / outdoor game = garden set | skipping rope | catch cup | skittle
toys and games / traditional game = domino | dominoe | ludo | bingo | snake ladder | naught | pick up stick
    | head and tail | donkey tail | marble | modelling clay | knitting nancy | jigsaw block | alphabet block
    | spinning top
toys and games / money box = money box | money bank | piggy bank
toys and games / soft toy = soft toy | teddy | monkey doll | dog toy | mouse toy | gingham cat | scottie dog w
    | sock puppet | long leg | baby mouse | mummy mouse | soft car
toys and games / doll = feltcraft doll | feltcraft princess | rabbit doll
toys and games / play house = playhouse
toys and games / novelty toy = dinosaur set | snake set | creepy crawly | crawlie | space frog | space owl | space cadet
    | cream bubble | harmonica | rattle snake | inflatable | glow in dark | magic sheep | magic tree | tattoo | hawaiian
    | sombrero | leis | pony | water bomb | geisha | pink monster | blue monster | singing canary
garden / grow your own = grow your own | grow a | seed envelope | sow

# -- stationery and craft
bath and health / lip gloss and balm = lip gloss | essential balm
stationery and craft / erasers and sharpeners = eraser | push down rubber | sharpener | rubber in bag | doggy rubber
stationery and craft / pens = pen
stationery and craft / pencils = pencil | crayon
stationery and craft / chalk = chalk stick | doily chalk
furniture and storage / trinket box = treasure book box | island book box
stationery and craft / notebook = notebook | pocket book | address book | notepad | exercise book | note book
stationery and craft / journal = journal
stationery and craft / sketchbook = sketchbook
stationery and craft / stickers = sticker
stationery and craft / stationery set = stationery set | writing set | stationery box set | envelope 50
stationery and craft / photo album = photo album | photo a
stationery and craft / letter rack = letter rack | letter tray | letter holder
stationery and craft / paperweight = paperweight
stationery and craft / desk accessories = tape dispenser | hole punch | book mark | office tidy | ruler | calculator
stationery and craft / calendar = calendar
stationery and craft / iron-on patches = patch + pack | iron on | sew on
garden / outdoor accessories = bicycle | fly swat
stationery and craft / sewing kit = sewing kit | shirt repair kit | needle set
stationery and craft / sewing box = sewing box
stationery and craft / measuring tape = measuring tape | tape measure | pin cushion
stationery and craft / knitting kit = knitting kit
bags and travel / shoulder bag = feltcraft shoulder
furniture and storage / trinket box = felt craft trinket
stationery and craft / felt craft kit = feltcraft
stationery and craft / buttons and gems = glass gem | silver stone | button box
stationery and craft / scissors = scissor
cards and gift wrap / gift tape = gift tape | wrapping tape | bookcover tape | cat tape | skull tape | design tape
    | retrospot tape
cards and gift wrap / ribbons = ribbon | tinsel reel
cards and gift wrap / wrapping paper = polkadot wrap | paisley wrap | retrospot wrap | toybox wrap | birthday wrap
    | crossbone wrap

# -- bath and health
bath and health / hot water bottle = hot water bottle | woolly hottie
bath and health / hand warmer = hand warmer | pocket warmer
bath and health / first aid = first aid | plaster | pill box
bath and health / pocket tissues = pack of 12 + tissue
bath and health / tissue box cover = tissue box
bath and health / flannel = flannel
bath and health / towel = hand towel | cake towel | roll towel | rose towel
bath and health / bath accessories = bath sponge | shower cap | toilet roll | shoe shine
bath and health / soap dish = soap dish | soap holder | soap rack
bath and health / bathroom set = bathroom set | bathroom scale | bathroom bottle | toilette bottle | wash bowl | water basin

# -- tableware
tableware / cup and saucer = cup and saucer | cup saucer | teacup and saucer | polkadot cup | retrospot cup | shape cup
tableware / teapot and tea set = teapot | tea for one | tea set | coffee set
tableware / mug = mug
party / paper cups = paper cup
party / paper plates = paper plate
tableware / napkin rings and charms = napkin ring | napkin charm | napkin box | cotton napkin
party / paper napkins = napkin
tableware / coaster = coaster
tableware / placemat = placemat
tableware / place settings = place setting
tableware / serving pieces = cake fork | cake slice | sugar tong | spoon rest | egg spoon | pudding spoon | teaspoon
    | tea spoon | tea strainer | toastrack | butter dish | beurre dish | cheese dish | salt and pepper | tea bag plate
tableware / cutlery = cutlery
tableware / tv and snack tray = dinner tray | tv tray | snack tray
tableware / tray = tray
tableware / jug and milk bottle = jug | milk bottle
tableware / drinking glass = wine glass | champagne glass | milkshake glass | tea glass | aperitif glass | goblet
    | tumbler | chalice | d o f | roman bowl | flask
tableware / sundae and shell dish = sundae dish | shell dish | clam shell
tableware / bowl = bowl
tableware / serving dish and platter = dish | platter | charger | pizza plate
tableware / plate = plate
tableware / tablecloth = tablecloth | table cloth | table run

# -- party
party / party invitations = party invite
party / paper chain = paper chain
party / honeycomb decoration = honeycomb
party / bunting and flags = bunting | pennant | windsock | flag
party / balloons = balloon
party / garland = garland
party / straws = straw
party / confetti = confetti
party / party accessories = cocktail parasol | party charm | popcorn | barrier tape | rosette | party cone

# -- garden
wall decoration / plaque and print = plaque | kitchen print | shell print
garden / garden marker = garden marker | herb marker
garden / watering can = watering can
garden / plant pot and planter = planter | plant pot | plant holder | herb garden | plant cage | plant ladder | fire bucket
garden / bird house and feeder = bird feeder | bird table | bird house | dovecote
garden / garden kneeler = kneeling
garden / tools = secateur | garden tool | spirit level | screwdriver | tool set | twine
garden / garden parasol = garden parasol
garden / outdoor thermometer = thermometer
garden / windmill = windmill
garden / mobile and wind chime = chime | mobile
garden / hammock = hammock
garden / outdoor mat = acapulco mat
garden / gnome = gnome
furniture and storage / coat rack and hanger = hanger magic | hook hanger
garden / garden ornament = toadstool | mushroom | fairy pole | gaoler

# -- furniture and storage
wall decoration / metal sign = box sign
furniture and storage / key cabinet = key cabinet | key holder
furniture and storage / cabinet = cabinet | cupboard
furniture and storage / chest of drawers = chest | drawer sideboard
furniture and storage / shelf = shelf | shelving
furniture and storage / stool, chair and table = stool | chair | pouffe | love seat | steel | round table
furniture and storage / coat rack and hanger = coat rack | peg hanger | hook hanger | coat hanger | padded hanger
    | clothe hanger | 1 hanger
furniture and storage / wall tidy = tidy | wall organiser | organiser | storage hanger | sock hanger
furniture and storage / jewellery box = jewellery box | jewellery drawer | jewel box
furniture and storage / keepsake box = keepsake
furniture and storage / trinket box = trinket | oval box | heart box | book box | heart decoupage box | dressing table pot
furniture and storage / pegs and laundry = b'draw liner | peg bag | clothe peg | dolly peg | flower peg | daisy peg | ironing
wall decoration / photo clips = photo clip | photo cube | metal string
home decoration / ashtray = ashtray
furniture and storage / storage box = storage box | nesting box | storage cube | round box | black box | pop box
    | metal box | nursery des
furniture and storage / storage tin = tin
furniture and storage / basket and crate = basket + wicker | french style basket | breakfast basket | heart basket | crate
furniture and storage / waste bin = bin

# -- wall and home decoration
wall decoration / door hanger = door hanger
wall decoration / door number and sign = door sign | number tile
wall decoration / metal sign = sign
home decoration / block letters = wood letter | block letter | painted letter | block word
wall decoration / photo frame = photo frame | picture frame | frame
wall decoration / canvas and screen = canvas | screen | wall hanging
wall decoration / mirror = mirror
furniture and storage / drawer knob = drawer knob
wall decoration / hook = hook | suction cup
home decoration / artificial flower = artificial flower | art flower
home decoration / ornament = vase | ceramic ball | buddha | ornament | porcelain rose | metal cat | metal pear
    | wooden daisy | shape gold | flying duck | hand open | doorbell | love bucket
home decoration / wicker heart = wicker
home decoration / felt and quilted heart = felt heart | quilted | fabric heart | felt hanging heart | wood and felt
home decoration / crystal and jewel decoration = crystal heart | jewel | pearl heart | beaded heart
home decoration / zinc and metal heart = zinc + heart | metal heart | stamped heart | engraved + heart | filigree heart
    | filigri heart | heart filigree | heart spiral | embossed heart
home decoration / hanging heart = hanging heart | heart hanging | heart decoration hanging | heart + hanging
home decoration / heart decoration = heart
soft furnishings / curtain = curtain
soft furnishings / throw and quilt = throw | quilt
home decoration / hanging decoration = hanging | scented flower | bird decoration
home decoration / angel and dove decoration = angel | dove
home decoration / glass bottles = bottle
home decoration / table and garden decoration = decoration | deco | dec | butterfly clip | string of 8
christmas / christmas ornament = christmas
"""

# Misspelled, shortened and glued words of the till's names, made singular, and what they stand for.
SPELLING: dict[str, str] = {
    "20light": "20 light",
    "artiifcial": "artificial",
    "baroquecandlestick": "baroque candlestick",
    "birdhouse": "bird house",
    "blackchristma": "black christma",
    "braclet": "bracelet",
    "cakestand": "cake stand",
    "candl": "candle",
    "candleholder": "candle holder",
    "candlepot": "candle pot",
    "cardholder": "card holder",
    "child'": "child",
    "children'": "children",
    "chocolatecandle": "chocolate candle",
    "coathanger": "coat hanger",
    "doorsign": "door sign",
    "drawerknob": "drawer knob",
    "fruitbowl": "fruit bowl",
    "hairband": "hair band",
    "hairclip": "hair clip",
    "hairslide": "hair slide",
    "hldr": "holder",
    "jeweled": "jewelled",
    "memoboard": "memo board",
    "necklac": "necklace",
    "neckl": "necklace",
    "neckl36": "necklace 36",
    "p'weight": "paperweight",
    "photoframe": "photo frame",
    "skippping": "skipping",
    "smallfolkart": "small folkart",
    "squarecushion": "square cushion",
    "stopmetal": "stop metal",
    "strawbery": "strawberry",
    "strawbry": "strawberry",
    "tealight": "t light",
    "tlight": "t light",
    "vippassport": "vip passport",
    "wallhanging": "wall hanging",
    "windchime": "wind chime",
}
